/** Reads from the server: every request has a time limit, every failure is an `ApiError`. */

import { TIMED_OUT, UNREACHABLE } from "./explanations.js";

/** A failed request; `status` is 0 without an answer (`code` is then `network` or `timeout`). */
export class ApiError extends Error {
  /** The HTTP status. */
  readonly status: number;
  /** What went wrong, as a stable word: docs/http-api.md lists those of the server. */
  readonly code: string;

  constructor(status: number, code: string, detail: string) {
    super(detail);
    this.name = "ApiError";
    this.status = status;
    this.code = code;
  }

  /** Whether a retry may succeed. */
  get transient(): boolean {
    return this.status === 0 || this.status === 408 || this.status === 429 || this.status >= 500;
  }
}

/** Any failure as an ApiError. */
export function asApiError(error: unknown): ApiError {
  return error instanceof ApiError ? error : new ApiError(0, "unknown", String(error));
}

/** The part of a response that is used. */
export type Answer = Pick<Response, "ok" | "status" | "headers" | "arrayBuffer">;
/** `fetch` for paths of the server, such as `/api/market/candles`. */
export type Fetch = (path: string, init: RequestInit) => Promise<Answer>;
export type Json = Record<string, unknown>;

export interface Read<Body> {
  readonly body: Body;
  readonly headers: Headers;
}

export interface HttpOptions {
  readonly timeoutMs?: number;
  /** The language of the server's explanations. */
  readonly language?: () => string;
}

const TIMEOUT_MS = 15_000;

export class Http {
  private readonly fetch: Fetch;
  private readonly timeoutMs: number;
  private readonly language: (() => string) | undefined;

  constructor(fetch: Fetch, { timeoutMs = TIMEOUT_MS, language }: HttpOptions = {}) {
    this.fetch = fetch;
    this.timeoutMs = timeoutMs;
    this.language = language;
  }

  /** The object of a JSON answer. Throws ApiError. */
  async get(path: string, signal?: AbortSignal): Promise<Read<Json>> {
    const { body, headers } = await this.read(path, signal);
    return { body: readJson(body), headers };
  }

  /** The body of an answer. Throws ApiError, or the reason of an aborted `signal`. */
  async read(path: string, signal?: AbortSignal, accept = "*/*"): Promise<Read<ArrayBuffer>> {
    const limit = AbortSignal.timeout(this.timeoutMs);
    const signals = signal ? AbortSignal.any([signal, limit]) : limit;
    const headers: Record<string, string> = { Accept: accept };
    if (this.language) headers["Accept-Language"] = this.language();
    try {
      // "no-cache" revalidates: the server answers 304 when nothing changed.
      const response = await this.fetch(path, { signal: signals, cache: "no-cache", headers });
      const body = await response.arrayBuffer();
      if (!response.ok) throw errorOf(response.status, jsonIn(body) ?? {});
      return { body, headers: response.headers };
    } catch (error) {
      if (error instanceof ApiError || signal?.aborted) throw error;
      if (limit.aborted) throw new ApiError(0, "timeout", TIMED_OUT);
      throw new ApiError(0, "network", UNREACHABLE);
    }
  }
}

/** The object that a body has; throws ApiError for anything else, as a proxy's error page. */
export function readJson(body: ArrayBuffer): Json {
  const value = jsonIn(body);
  if (value === null) throw unreadable("answer");
  return value;
}

/** The error of an answer that is not what the API promises. */
export function unreadable(what: string): ApiError {
  return new ApiError(502, "unreadable_answer", `The server's ${what} could not be read.`);
}

export function finite(value: unknown): number | null {
  return typeof value === "number" && Number.isFinite(value) ? value : null;
}

function jsonIn(body: ArrayBuffer): Json | null {
  try {
    const value: unknown = JSON.parse(new TextDecoder().decode(body));
    return typeof value === "object" ? (value as Json | null) : null;
  } catch {
    return null;
  }
}

function errorOf(status: number, body: Json): ApiError {
  const detail = body["detail"];
  const code = typeof body["code"] === "string" ? body["code"] : `http_${status}`;
  return new ApiError(
    status,
    code,
    typeof detail === "string" ? detail : firstMessage(detail, status),
  );
}

/** The first message of a list of validation errors. */
function firstMessage(detail: unknown, status: number): string {
  const first: unknown = Array.isArray(detail) ? detail[0] : null;
  const message = (first as Json | null)?.["msg"];
  return typeof message === "string" ? message : `The server answered ${status}.`;
}
