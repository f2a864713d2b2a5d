/** Records that came in one second. */
export interface Segment {
  /** When they were sent, in seconds. */
  sentAt: number;
  /** When the stream took them, in seconds. */
  acceptedAt: number;
  /** Records of keys that are spread evenly. */
  even: number;
  /** Records of the hot key. */
  hot: number;
}

/** Records in order, as amounts rather than one by one. */
export class Queue {
  #segments: Segment[] = [];
  #first = 0;
  #records = 0;

  get records(): number {
    return this.#records;
  }

  get head(): Segment | undefined {
    return this.#segments[this.#first];
  }

  push(segment: Segment): void {
    const amount = segment.even + segment.hot;
    if (amount <= 0) return;
    this.#segments.push(segment);
    this.#records += amount;
  }

  /** Takes up to `amount` records from the front, in whole or parted segments. */
  take(amount: number): Segment[] {
    const taken: Segment[] = [];
    let left = amount;
    while (left > 1e-9) {
      const head = this.#segments[this.#first];
      if (!head) break;
      const size = head.even + head.hot;
      if (size <= left + 1e-9) {
        taken.push(head);
        this.#first++;
        this.#records -= size;
        left -= size;
        continue;
      }
      const share = left / size;
      taken.push({ ...head, even: head.even * share, hot: head.hot * share });
      head.even *= 1 - share;
      head.hot *= 1 - share;
      this.#records -= left;
      left = 0;
    }
    if (this.#first > 1_000) {
      this.#segments = this.#segments.slice(this.#first);
      this.#first = 0;
    }
    if (this.#first >= this.#segments.length) this.#records = 0;
    return taken;
  }

  /** All of it, in order. */
  drain(): Segment[] {
    const all = this.#segments.slice(this.#first);
    this.#segments = [];
    this.#first = 0;
    this.#records = 0;
    return all;
  }
}
