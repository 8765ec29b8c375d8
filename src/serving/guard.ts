/** @file Who may ask: programs on hosts that are meant to, with the key where there is one. */
import { createHash, timingSafeEqual } from 'node:crypto';
import { isIP } from 'node:net';
import { hostname } from 'node:os';
import type { MiddlewareHandler } from 'hono';
import { refusal } from './api-error.js';

export interface GuardOptions {
  /** The address that the server listens at. */
  host: string;
  /** Further names that a Host header may say. */
  hosts: readonly string[];
  /** Origins of other pages that may ask, e.g. `http://localhost:3000`. */
  origins: readonly string[];
  apiKey: string | undefined;
}

/** Whether only this machine can reach the address. */
export function isLoopback(host: string): boolean {
  const name = host.replace(/^\[|\]$/g, '').toLowerCase();
  return name === 'localhost' || name === '::1' || (isIP(name) === 4 && name.startsWith('127.'));
}

/**
 * Refuses what a page of another origin sends, or one whose own name was made to lead here: 403. A server that others can reach takes any
 * address for a Host, since only names can be made to lead elsewhere.
 */
export function checkSource({ host, hosts, origins }: GuardOptions): MiddlewareHandler {
  const named = new Set([host, ...hosts, ...(isLoopback(host) ? [] : [hostname()])].map((name) => name.toLowerCase()));
  const isOurs = (name: string) =>
    isLoopback(name) || named.has(name) || (!isLoopback(host) && isIP(name.replace(/^\[|\]$/g, '')) !== 0);
  return async (c, next) => {
    const asked = c.req.header('host') ?? '';
    if (!isOurs(asked.replace(/:\d+$/, '').toLowerCase()))
      throw refusal(403, `This server is not ${JSON.stringify(asked)}. Name it with --hosts if it is.`, { code: 'wrong_host' });
    const origin = c.req.header('origin');
    if (origin !== undefined && origin !== new URL(c.req.url).origin && !origins.includes(origin))
      throw refusal(403, `Pages of ${JSON.stringify(origin)} may not ask. Allow them with --origins.`, { code: 'wrong_origin' });
    await next();
  };
}

/** Asks for `Authorization: Bearer KEY`: 401. How long that takes says nothing about the key. */
export function checkKey({ apiKey }: GuardOptions): MiddlewareHandler {
  const expected = apiKey === undefined ? undefined : digest(apiKey);
  return async (c, next) => {
    if (expected) {
      const [, given] = /^Bearer\s+(.+)$/i.exec(c.req.header('authorization') ?? '') ?? [];
      if (given === undefined || !timingSafeEqual(digest(given), expected))
        throw refusal(401, given === undefined ? 'Give the API key as a Bearer token.' : 'Incorrect API key provided.', {
          code: 'invalid_api_key',
          headers: { 'www-authenticate': 'Bearer' },
        });
    }
    await next();
  };
}

const digest = (key: string) => createHash('sha256').update(key).digest();
