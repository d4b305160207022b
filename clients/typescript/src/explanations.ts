/** What the client's own failures mean, in English; an application may show other texts. */

export const EXPLANATIONS = {
  timeout: "The server did not answer in time.",
  network: "The server can not be reached.",
  lost: "The connection was lost.",
  silent: "The connection was silent for too long.",
  refused: "The server refused the connection.",
  tooLarge: "The server refused a message as too large.",
} as const;

export type Explanation = (typeof EXPLANATIONS)[keyof typeof EXPLANATIONS];
