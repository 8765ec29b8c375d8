#!/usr/bin/env node
import { Command, CommanderError } from 'commander';
import { TOOL } from '../artifact/manifest.js';
import { MoralscopeError } from '../errors.js';
import { alignCommand } from './align.js';
import { cacheCommand } from './cache.js';
import { captureCommand } from './capture.js';
import { chatCommand } from './chat.js';
import { corpusCommand } from './corpus.js';
import { demoCommand } from './demo.js';
import { diagnoseCommand } from './diagnose.js';
import { exportCommand } from './export.js';
import { featuresCommand } from './features.js';
import { generateCommand } from './generate.js';
import { modelsCommand } from './models.js';
import { pullCommand } from './pull.js';
import { saeCommand } from './sae.js';
import { serveCommand } from './serve.js';
import { verifyCommand } from './verify.js';

const MISUSE = 2;

const program = new Command('moralscope')
  .description('Measure how a language model represents morality inside, and how far its words agree.')
  .version(TOOL.version)
  .exitOverride()
  .showHelpAfterError('(--help says more)')
  .enablePositionalOptions();

for (const command of [
  demoCommand(),
  modelsCommand(),
  pullCommand(),
  cacheCommand(),
  corpusCommand(),
  captureCommand(),
  diagnoseCommand(),
  saeCommand(),
  featuresCommand(),
  alignCommand(),
  verifyCommand(),
  generateCommand(),
  chatCommand(),
  serveCommand(),
  exportCommand(),
])
  program.addCommand(command);

for (const command of allCommands(program)) command.exitOverride();

// A reader such as head that has seen enough is no mishap.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error;
  process.exit();
});

try {
  await program.parseAsync();
} catch (error) {
  process.exitCode = report(error);
}

function allCommands(command: Command): Command[] {
  return command.commands.flatMap((child) => [child, ...allCommands(child as Command)]) as Command[];
}

function report(error: unknown): number {
  // commander has already written its own message.
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : MISUSE;
  if (error instanceof MoralscopeError) {
    process.stderr.write(`moralscope: ${error.message}\n${error.fix ? `  ${error.fix}\n` : ''}`);
    return error.code === 'misuse' ? MISUSE : 1;
  }
  process.stderr.write(`moralscope: this is a defect, please report it.\n${(error as Error).stack ?? error}\n`);
  return 1;
}
