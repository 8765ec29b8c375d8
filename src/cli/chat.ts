import { chat } from '../serving/chat.js';
import { ChatFlags } from '../serving/chat-options.js';
import { Conversation } from '../serving/conversation.js';
import { SteeredModel } from '../serving/steered-model.js';
import { requireRemedyFor } from '../serving/steering-options.js';
import { command } from './command.js';

export const chatCommand = () =>
  command(
    'chat',
    'talk with the model, changed by a remedy or not; from a pipe, a line is a turn',
    ChatFlags,
    async (options, work, _, asJson) => {
      requireRemedyFor(options);
      const { model: source, remedy, arm, mode, positions, layers, strength, precision, threads, ...rest } = options;
      const { system, compare, ...sampling } = rest;
      const model = await SteeredModel.open(source, {
        ...{ remedies: remedy === undefined ? [] : [`remedy=${remedy}`], mode, positions, layers, strength, precision, threads },
        sequences: 2,
        ...work,
      });
      try {
        const conversation = new Conversation(model, { arm }, sampling);
        conversation.system = system;
        if (compare) conversation.compare = true;
        await model.start(conversation.steered);
        // What machines read is only the whole of it, at the end.
        const output = asJson ? process.stderr : process.stdout;
        const terminal = Boolean(process.stdin.isTTY && output.isTTY);
        await chat(conversation, { input: process.stdin, output, terminal, signal: work.signal });
        return { json: { model: model.name, turns: conversation.turns }, text: '' };
      } finally {
        await model.close();
      }
    },
  );
