/** What can go wrong here, with a message that a person can act on. */

export class DemoError extends Error {
  /** @param {string} message one or two sentences: the cause, then what to do. */
  constructor(message) {
    super(message);
    this.name = 'DemoError';
  }
}

/**
 * The text to show for anything thrown.
 * @param {unknown} error
 * @returns {string}
 */
export function describe(error) {
  if (error instanceof DemoError) return error.message;
  const text = error instanceof Error ? error.message : String(error);
  return `Unexpected: ${text || 'no reason given'}. Reload the page; if it happens again, report it with this text.`;
}
