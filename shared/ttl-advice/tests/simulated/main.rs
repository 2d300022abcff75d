//! Advice about caches of applications that run in virtual time, so that the true effect of every TTL is known.
#![cfg(test)]

mod application;
mod cases;
mod estimates;
mod refusals;
mod requests;
mod soak;
mod study;
