/** What the client's own failures mean, in English; an application may show other texts. */

export const TIMED_OUT = "The server did not answer in time.";
export const UNREACHABLE = "The server can not be reached.";
export const CONNECTION_LOST = "The connection was lost.";
export const SILENT = "The connection was silent for too long.";
export const REFUSED = "The server refused the connection.";
export const TOO_LARGE = "The server refused a message as too large.";

export type Explanation =
  | typeof TIMED_OUT
  | typeof UNREACHABLE
  | typeof CONNECTION_LOST
  | typeof SILENT
  | typeof REFUSED
  | typeof TOO_LARGE;
