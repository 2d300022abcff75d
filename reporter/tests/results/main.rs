//! Tests of the reporter's results, recommendations, alerts and pages.
#![cfg(test)]
#![expect(clippy::disallowed_methods, reason = "tests write the files that they try out")]

mod alerts;
mod fold;
mod hit_rate;
mod hostile_records;
mod kit;
mod outbox;
mod page;
mod page_in_chromium;
mod report_file;
mod rule_alerts;
mod unknown;
