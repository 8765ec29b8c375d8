export type { WrittenShard } from './activations/capture-run.js';
export { ActivationDirectory, type ReadoutLogProbs, type TokenStates } from './activations/directory.js';
export { type Perplexity, type PerplexityOptions, perplexity } from './activations/perplexity.js';
export { type AlignedRemedy, align } from './alignment/align.js';
export { AlignOptions } from './alignment/align-options.js';
export { type FoundFeatures, screenFeatures } from './alignment/features.js';
export { FeaturesOptions } from './alignment/features-options.js';
export { Features } from './alignment/features-schema.js';
export { type InterventionChoice, openRemedy, type Remedy, requireItsModel } from './alignment/remedy.js';
export { RemedyContent } from './alignment/remedy-schema.js';
export type { Manifest } from './artifact/manifest.js';
export { type CaptureOptions, capture } from './capture.js';
export { cacheDirectory, cacheEntries, removeCacheEntry, verifyCacheEntry } from './checkpoint/cache.js';
export { type ChatEncodeOptions, type ChatMessage, type ChatOptions, ChatTemplate } from './checkpoint/chat/chat-template.js';
export { type Checkpoint, openCheckpoint } from './checkpoint/checkpoint.js';
export { pull, resolveDataset, resolveModel } from './checkpoint/sources.js';
export type { TensorFile, TensorInfo } from './checkpoint/tensors.js';
export { TextStream } from './checkpoint/text-stream.js';
export type { AddedToken } from './checkpoint/tokenization/added-tokens.js';
export type { EncodeOptions, Tokenizer } from './checkpoint/tokenizer.js';
export { type Demo, DemoOptions, demo } from './demo.js';
export { type DiagnoseOptions, diagnose } from './diagnosis/diagnose.js';
export { Diagnosis, type Figure } from './diagnosis/schema.js';
export { type ErrorCode, MoralscopeError } from './errors.js';
export { Verification } from './evaluation/schema.js';
export { type VerifiedRemedy, verifyRemedy } from './evaluation/verify.js';
export { VerifyOptions } from './evaluation/verify-options.js';
export type { GraphTensor } from './graph/session.js';
export { type CompiledFootprint, type Inventory, type ListedModel, listModels, type Machine } from './inventory.js';
export type { CompileOptions } from './model/compile.js';
export type { CacheShape, CompiledDecoder, LogitsOf } from './model/compiled-decoder.js';
export { type CachedText, DecoderCache } from './model/decoder-cache.js';
export type { DecoderStates } from './model/decoder-runner.js';
export { type DecoderRun, DecoderSession } from './model/decoder-session.js';
export { type DecodedStates, DecodingSession, type GivenStates, type PrefillOptions } from './model/decoding-session.js';
export type { Arms } from './model/generation/arms.js';
export { type Generation, type GenerationPiece, GenerationStream } from './model/generation/generation-stream.js';
export type { LogProbs } from './model/generation/log-probs.js';
export type { FinishReason, GenerationEnd, GenerationUpdate, Prompt } from './model/generation/messages.js';
export { GenerationOptions, GeneratorOptions } from './model/generation/options.js';
export { type GenerateOptions, TextGenerator } from './model/generation/text-generator.js';
export {
  type Change,
  type Intervention,
  type InterventionShape,
  type Latents,
  type Mode,
  POSITIONS,
  type Positions,
  sameShapes,
  shapeOf,
} from './model/intervention.js';
export { LanguageModel, type OpenGeneratorOptions } from './model/language-model.js';
export type { Precision } from './model/precision.js';
export type { RotaryFrequencies } from './model/rotary.js';
export type { Sight } from './model/sight.js';
export type { Site } from './model/site.js';
export type { Activation, BlockSpec, DecoderSpec, FeedForwardSpec, MixtureSpec, RopeScaling, RopeSpec } from './model/spec.js';
export type { Steering } from './model/steering.js';
export type { TokenBatch } from './model/token-rows.js';
export { buildCorpus, type CorpusOptions } from './moral/build.js';
export type { Corpus, CorpusRows } from './moral/corpus.js';
export { FOUNDATIONS, type Foundation, POLES, type Pole } from './moral/foundation.js';
export { readCorpus } from './moral/read.js';
export { diagnosticSample } from './moral/sample.js';
export { corpusStats } from './moral/stats.js';
export type { OnProgress, ProgressEvent, WorkOptions } from './progress.js';
export { renderFeatures } from './report/features-report.js';
export { renderReport } from './report/report.js';
export { renderSaeEvalReport } from './report/sae-eval-report.js';
export { renderTrainingReport, type TrainingRun } from './report/training-report.js';
export { renderVerification } from './report/verify-report.js';
export type { Architecture, Normalisation, SaeSpec, SaeWeights, SparseAutoencoder } from './sae/architecture.js';
export { type EvaluatedSae, evaluateSae } from './sae/eval/evaluate.js';
export { EvalSaeOptions } from './sae/eval/options.js';
export { SaeEval } from './sae/eval/schema.js';
export { type ConvertSaeOptions, convertSae } from './sae/formats/convert-sae.js';
export { type NeuronpediaFeature, type NeuronpediaSource, writeNeuronpedia } from './sae/formats/neuronpedia.js';
export { openSae } from './sae/formats/open-sae.js';
export { writeSaeLens } from './sae/formats/saelens.js';
export type { OpenedSae, OpenSaeOptions, SaeOrigin, StoredSae } from './sae/formats/stored-sae.js';
export { type TrainedSummary, trainSaes } from './sae/train.js';
export { TrainSaeOptions } from './sae/train-options.js';
export type { StepMetrics } from './sae/training.js';
export { type Exported, exportModel } from './serving/export/export-model.js';
export { ExportOptions } from './serving/export/options.js';
export { type FileAnswer, type GeneratedFile, generateFile } from './serving/generate-file.js';
export { GenerateFileOptions } from './serving/generate-options.js';
export { ModelServer, type ModelServerOptions } from './serving/model-server.js';
export type { ModelService } from './serving/model-service.js';
export {
  type EncodedPrompt,
  type ServedArm,
  type Steered,
  SteeredModel,
  type SteeredModelOptions,
  type SteeringChoice,
} from './serving/steered-model.js';
export { buildNamedCorpus, type Study, StudyOptions, study } from './study.js';
