import { z } from 'zod';
import { SteeringFields } from './steering-options.js';

/** The flags of `serve`. */
export const ServeOptions = z.object({
  ...SteeringFields,
  host: z.string().default('127.0.0.1').describe('address to listen at; by default only this machine reaches it'),
  port: z.int().min(0).max(65_535).default(8321).describe('0: any that is free'),
  apiKeyEnv: z.string().optional().describe('name of the environment variable that holds the key clients must give'),
  hosts: z.array(z.string()).default([]).describe('further names of this server that requests may give as Host'),
  origins: z.array(z.string()).default([]).describe('origins whose pages may ask, e.g. http://localhost:3000'),
  maxBatch: z.int().positive().default(16).describe('texts that are gone on with at once, at most'),
  maxQueue: z.int().nonnegative().default(256).describe('texts that may wait; what is more is refused (429)'),
  maxTokens: z.int().positive().default(1024).describe("tokens of a chat's answer where a request does not say"),
  maxBodyMb: z.number().positive().default(8).describe('size of a request, at most, in MB'),
  patience: z.number().nonnegative().default(30).describe('seconds that running requests have when the server is to stop'),
  log: z.boolean().default(false).describe('a line on stderr for each request: method, path, status, time'),
});
export type ServeOptions = z.infer<typeof ServeOptions>;
