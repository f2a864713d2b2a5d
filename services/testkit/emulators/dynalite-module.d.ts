declare module 'dynalite' {
  import type { Server } from 'node:http';

  /** The options of dynalite's README that we use; times in ms. */
  export interface DynaliteOptions {
    createTableMs?: number;
    deleteTableMs?: number;
    updateTableMs?: number;
  }
  export default function dynalite(options?: DynaliteOptions): Server;
}
