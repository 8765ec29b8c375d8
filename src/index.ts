export { ActivationDirectory } from './activations/directory.js';
export { type Perplexity, type PerplexityOptions, perplexity } from './activations/perplexity.js';
export { type AlignedRemedy, align } from './alignment/align.js';
export { AlignOptions } from './alignment/align-options.js';
export { type FoundFeatures, screenFeatures } from './alignment/features.js';
export { FeaturesOptions } from './alignment/features-options.js';
export { Features } from './alignment/features-schema.js';
export { type InterventionChoice, openRemedy, type Remedy, requireItsModel } from './alignment/remedy.js';
export { RemedyContent } from './alignment/remedy-schema.js';
export { capture } from './capture.js';
export { cacheDirectory, cacheEntries, removeCacheEntry, verifyCacheEntry } from './checkpoint/cache.js';
export {
  type ChatEncodeOptions,
  type ChatMessage,
  type ChatOptions,
  ChatTemplate,
} from './checkpoint/chat/chat-template.js';
export { type Checkpoint, openCheckpoint } from './checkpoint/checkpoint.js';
export { pull, resolveDataset, resolveModel } from './checkpoint/sources.js';
export { TextStream } from './checkpoint/text-stream.js';
export type { EncodeOptions, Tokenizer } from './checkpoint/tokenizer.js';
export { type Demo, DemoOptions, demo } from './demo.js';
export { type DiagnoseOptions, diagnose } from './diagnosis/diagnose.js';
export { Diagnosis } from './diagnosis/schema.js';
export { type ErrorCode, MoralscopeError } from './errors.js';
export { Verification } from './evaluation/schema.js';
export { type VerifiedRemedy, verifyRemedy } from './evaluation/verify.js';
export { VerifyOptions } from './evaluation/verify-options.js';
export { type Inventory, type ListedModel, listModels } from './inventory.js';
export { DecoderCache } from './model/decoder-cache.js';
export { DecoderSession } from './model/decoder-session.js';
export { DecodingSession } from './model/decoding-session.js';
export type { Arms } from './model/generation/arms.js';
export { type Generation, type GenerationPiece, GenerationStream } from './model/generation/generation-stream.js';
export type { LogProbs } from './model/generation/log-probs.js';
export type { FinishReason, Prompt } from './model/generation/messages.js';
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
export type { Steering } from './model/steering.js';
export { buildCorpus } from './moral/build.js';
export type { Corpus } from './moral/corpus.js';
export { FOUNDATIONS, type Foundation, POLES, type Pole } from './moral/foundation.js';
export { readCorpus } from './moral/read.js';
export { diagnosticSample } from './moral/sample.js';
export { corpusStats } from './moral/stats.js';
export type { OnProgress, ProgressEvent, WorkOptions } from './progress.js';
export { renderReport } from './report/report.js';
export { renderSaeEvalReport } from './report/sae-eval-report.js';
export { renderVerification } from './report/verify-report.js';
export type { SparseAutoencoder } from './sae/architecture.js';
export { type EvaluatedSae, evaluateSae } from './sae/eval/evaluate.js';
export { EvalSaeOptions } from './sae/eval/options.js';
export { SaeEval } from './sae/eval/schema.js';
export { type ConvertSaeOptions, convertSae } from './sae/formats/convert-sae.js';
export { type NeuronpediaFeature, type NeuronpediaSource, writeNeuronpedia } from './sae/formats/neuronpedia.js';
export { openSae } from './sae/formats/open-sae.js';
export { writeSaeLens } from './sae/formats/saelens.js';
export type { OpenedSae, OpenSaeOptions, SaeOrigin, StoredSae } from './sae/formats/stored-sae.js';
export { trainSaes } from './sae/train.js';
export { TrainSaeOptions } from './sae/train-options.js';
export { type Exported, exportModel } from './serving/export/export-model.js';
export { ExportOptions } from './serving/export/options.js';
export { type FileAnswer, type GeneratedFile, generateFile } from './serving/generate-file.js';
export { GenerateFileOptions } from './serving/generate-options.js';
export { ModelServer, type ModelServerOptions } from './serving/model-server.js';
export { type Steered, SteeredModel, type SteeredModelOptions, type SteeringChoice } from './serving/steered-model.js';
export { buildNamedCorpus, type Study, StudyOptions, study } from './study.js';
