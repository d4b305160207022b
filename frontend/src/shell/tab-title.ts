/** The title of the browser's tab: writing it costs as much as drawing the chart. */

export class TabTitle {
  private title = document.title;
  private subject = "";

  /** Shows `title`: with another subject at once, otherwise with the next tick. */
  show(title: string, subject: string): void {
    this.title = title;
    if (subject !== this.subject) this.tick();
    this.subject = subject;
  }

  /** Writes what is to be shown; called once a second. */
  tick(): void {
    if (document.title !== this.title) document.title = this.title;
  }
}
