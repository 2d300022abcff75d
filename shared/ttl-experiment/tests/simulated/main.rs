//! Experiments with simulated applications, whose true effect is known.
#![cfg(test)]

mod cache;
mod chance;
mod groups;
mod power;
mod stops;
mod traffic;
mod trials;
