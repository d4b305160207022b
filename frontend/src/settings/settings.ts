/** What the user chose and the browser remembers: one versioned record. */

import { listsOf, symbolsOf, type SymbolList } from "./symbol-lists";

export const THEMES = ["system", "light", "dark"] as const;
export type Theme = (typeof THEMES)[number];

export const LANGUAGES = ["browser", "en", "zh-CN"] as const;
export type Language = (typeof LANGUAGES)[number];

/** How the page is arranged. */
export interface Layout {
  /** How the charts share the page; `one` is the only arrangement so far. */
  readonly cells: "one";
  /** Whether the markets stand beside the chart, on a screen that is wide enough. */
  readonly markets: boolean;
}

export interface Settings {
  readonly theme: Theme;
  readonly language: Language;
  /** Zone of intraday times: `local`, `exchange`, or an IANA name such as `Asia/Kolkata`. */
  readonly zone: string;
  /** Rising candles are red and falling ones green, as is usual in East Asia. */
  readonly redUp: boolean;
  /** Factors and sub-features by key, as far as the user switched them. */
  readonly features: Readonly<Record<string, boolean>>;
  /** The last series that had candles; null before the first one. */
  readonly series: string | null;
  readonly layout: Layout;
  /** Symbols with a star, `exchange:market:symbol` each. */
  readonly favourites: readonly string[];
  readonly lists: readonly SymbolList[];
}

export const DEFAULTS: Settings = {
  theme: "system",
  language: "browser",
  zone: "local",
  redUp: false,
  features: {},
  series: null,
  layout: { cells: "one", markets: true },
  favourites: [],
  lists: [],
};

type SettingsStorage = Pick<Storage, "getItem" | "setItem">;
type Listener = (settings: Settings, before: Settings) => void;
type Json = Readonly<Record<string, unknown>>;

/** The key of the record in the browser's storage. */
export const STORAGE_KEY = "trade_canvas.settings";
const VERSION = 1;
/** Where earlier releases kept the switched features and the last series. */
const FORMER = { features: "trade_canvas.factors", series: "trade_canvas.series" } as const;

/** Holds the settings; without a working storage they last until the page is closed. */
export class SettingsStore {
  private readonly storage: () => SettingsStorage;
  private readonly listeners = new Set<Listener>();
  private current: Settings;

  /** `storage` is called late, because even reading `window.localStorage` may throw. */
  constructor(storage: () => SettingsStorage) {
    this.storage = storage;
    this.current = this.recall();
  }

  get value(): Settings {
    return this.current;
  }

  /** Changes some settings, remembers them and notifies the subscribers. */
  update(change: Partial<Settings>): void {
    this.replace({ ...this.current, ...change });
    try {
      this.storage().setItem(STORAGE_KEY, JSON.stringify({ version: VERSION, ...this.current }));
    } catch {
      // Private mode or a full storage.
    }
  }

  /** Takes over what another tab stored; each tab keeps its own series and layout. */
  adopt(text: string | null): void {
    const stored = parse(text);
    const { series, layout } = this.current;
    if (stored !== null) this.replace({ ...settingsOf(stored), series, layout });
  }

  /** Calls `listener` after each change; returns the function that ends it. */
  subscribe(listener: Listener): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  private replace(settings: Settings): void {
    const before = this.current;
    this.current = settings;
    for (const listener of this.listeners) listener(settings, before);
  }

  private recall(): Settings {
    try {
      const storage = this.storage();
      const stored = parse(storage.getItem(STORAGE_KEY));
      if (stored !== null) return settingsOf(stored);
      const features = parse(storage.getItem(FORMER.features));
      return settingsOf({ features, series: storage.getItem(FORMER.series) });
    } catch {
      return DEFAULTS;
    }
  }
}

/** Reads field by field: an unknown or malformed value becomes the default. */
function settingsOf(stored: Json): Settings {
  const { theme, language, zone, redUp, features, series, layout, favourites, lists } = stored;
  return {
    theme: THEMES.find((one) => one === theme) ?? DEFAULTS.theme,
    language: LANGUAGES.find((one) => one === language) ?? DEFAULTS.language,
    zone: typeof zone === "string" && zone !== "" ? zone : DEFAULTS.zone,
    redUp: typeof redUp === "boolean" ? redUp : DEFAULTS.redUp,
    features: switchesOf(features),
    series: typeof series === "string" ? series : null,
    layout: layoutOf(layout),
    favourites: symbolsOf(favourites),
    lists: listsOf(lists),
  };
}

function layoutOf(value: unknown): Layout {
  const markets = (value as Json | null | undefined)?.["markets"];
  return { ...DEFAULTS.layout, ...(typeof markets === "boolean" ? { markets } : {}) };
}

function switchesOf(value: unknown): Record<string, boolean> {
  if (typeof value !== "object" || value === null) return {};
  const switches = Object.entries(value).filter(([, on]) => typeof on === "boolean");
  return Object.fromEntries(switches) as Record<string, boolean>;
}

function parse(text: string | null): Json | null {
  try {
    const value: unknown = JSON.parse(text ?? "null");
    return typeof value === "object" && value !== null ? (value as Json) : null;
  } catch {
    return null;
  }
}
