/** The title of the browser's tab: writing it costs as much as drawing the chart. */

/** While the page is seen, the price is on it as well. */
const SEEN_TICKS = 3;

export class TabTitle {
  private ticks = 0;
  private title = document.title;
  private subject = "";

  /** Shows `title`: with another subject at once, otherwise with the next tick. */
  show(title: string, subject: string): void {
    this.title = title;
    if (subject !== this.subject) this.write();
    this.subject = subject;
  }

  /** Writes what is to be shown, with every third tick while the page is seen; called each second. */
  tick(): void {
    this.ticks += 1;
    if (document.hidden || this.ticks % SEEN_TICKS === 0) this.write();
  }

  private write(): void {
    if (document.title !== this.title) document.title = this.title;
  }
}
