import { expect, test } from 'vitest';
import { MoralscopeError } from '../errors.js';
import { checkTemplate, DEFAULT_TEMPLATE, fillTemplate } from './template.js';

test.each(['is morally', '', '{Action} is', '{action} and {action}', '{action} is '])('refuses the template %j', (template) => {
  expect(() => checkTemplate(template)).toThrow(MoralscopeError);
});

test('the default template passes', () => {
  expect(() => checkTemplate(DEFAULT_TEMPLATE)).not.toThrow();
});

test('the action is trimmed and loses the full stop that would stand amid the sentence', () => {
  expect(fillTemplate(DEFAULT_TEMPLATE, ' helping a friend. ')).toBe('helping a friend is morally');
  expect(fillTemplate(DEFAULT_TEMPLATE, 'waiting...')).toBe('waiting... is morally');
  expect(fillTemplate('{action}', ' It rains. ')).toBe('It rains.');
  expect(fillTemplate('Is {action} right?', 'stealing $& $1.')).toBe('Is stealing $& $1 right?');
});
