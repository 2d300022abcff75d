//! The printers of a result: all print the same [`View`](crate::view) as a page for a terminal, as HTML, or as Markdown.
//! HTML and Markdown have two sources of text: our own, and text from Redis, NATS or a job file, which is always escaped.

pub mod html;
pub mod markdown;
pub mod terminal;
