//! Advice about caches of applications that run in virtual time, so that the true effect of every TTL is known.
#![cfg(test)]

mod any_input;
mod application;
mod attacks;
mod cases;
mod estimates;
mod popularity;
mod refusals;
mod requests;
mod soak;
mod study;
