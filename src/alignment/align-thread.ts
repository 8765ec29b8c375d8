/** @file The thread in which a remedy is made. */
import { serveWork } from '../work-thread.js';
import { type AlignedRemedy, alignHere } from './align.js';
import type { AlignOptions } from './align-options.js';

serveWork<AlignOptions, AlignedRemedy>((options, work) => alignHere({ ...options, ...work }));
