/** The switches of all studies' features: the user's choices, on top of the declared defaults. */

import { switched, withDefaults, type Choice, type Visibility } from "./factor-visibility";
import type { SettingsStore } from "../settings/settings";
import type { Factor } from "./factor-catalog";

export class FeatureSwitches {
  private readonly settings: SettingsStore;
  private readonly listeners = new Set<() => void>();
  private declared: readonly Factor[] = [];
  private settled = false;
  private current: Visibility;

  constructor(settings: SettingsStore) {
    this.settings = settings;
    this.current = this.read();
    settings.subscribe((now, before) => {
      if (now.features !== before.features) this.refresh();
    });
  }

  /** Adds features with their defaults; choices that the user made stay. */
  declare(features: readonly Factor[]): void {
    this.declared = [...this.declared, ...features];
    this.refresh();
  }

  /** Declares the features of the server; none where it does not answer yet, or has no catalog. */
  settle(features: readonly Factor[]): void {
    this.settled = true;
    this.declare(features);
  }

  /** Whether it is known how drawings look, as far as the server answers. */
  get isSettled(): boolean {
    return this.settled;
  }

  /** What was declared, in that order. */
  get features(): readonly Factor[] {
    return this.declared;
  }

  visibility(): Visibility {
    return this.current;
  }

  /** Switches a feature and remembers it. */
  choose(choice: Choice): void {
    this.settings.update({ features: Object.fromEntries(switched(this.current, choice)) });
  }

  /** Calls `listener` after each change; returns the function that ends it. */
  subscribe(listener: () => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  private refresh(): void {
    this.current = this.read();
    for (const listener of this.listeners) listener();
  }

  private read(): Visibility {
    return withDefaults(new Map(Object.entries(this.settings.value.features)), this.declared);
  }
}
