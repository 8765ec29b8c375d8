/** @file The thread in which a remedy is verified. */
import { serveWork } from '../work-thread.js';
import { type VerifiedRemedy, verifyHere } from './verify.js';
import type { VerifyOptions } from './verify-options.js';

serveWork<VerifyOptions, VerifiedRemedy>((options, work) => verifyHere({ ...options, ...work }));
