/** Something on its way from the wire to its reader. */
export class Delivery {
  /** Set when it may be delivered. */
  deliver: (() => void) | undefined;
  readonly after: (() => void)[] = [];
}

/** What has come is delivered in the order of the wire, whichever is verified and kept first. */
export class DeliveryQueue {
  #queue: Delivery[] = [];
  #hasStopped = false;

  get isEmpty(): boolean {
    return this.#queue.length === 0;
  }

  add(delivery: Delivery): void {
    this.#queue.push(delivery);
  }

  /** It is verified and kept: its turn can come. */
  ready(delivery: Delivery, deliver: () => void): void {
    delivery.deliver = deliver;
    while (this.#queue[0]?.deliver !== undefined && !this.#hasStopped) {
      const { deliver: deliverNow, after } = this.#queue.shift() as Delivery;
      deliverNow?.();
      for (const call of after) call();
    }
  }

  /** Calls back when everything that has come so far is delivered. */
  afterDelivery(then: () => void): void {
    const last = this.#queue.at(-1);
    if (last === undefined) then();
    else last.after.push(then);
  }

  /** Nothing that is not delivered will be. */
  stop(): void {
    this.#hasStopped = true;
  }
}
