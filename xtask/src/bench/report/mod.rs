//! How figures are shown (pure): tables for terminals and Markdown, plots, one JSON document, and the page in the
//! repository with the latest figures.

pub(crate) mod growth;
pub(crate) mod json;
pub(crate) mod page;
pub(crate) mod plot;
#[cfg(test)]
pub(crate) mod sample;
pub(crate) mod table;
pub(crate) mod tables;
pub(crate) mod target_table;
