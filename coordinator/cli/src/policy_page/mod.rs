//! Which keys break the rules of a job, in its forms of output. Pure.

pub mod checked;
pub mod github;
pub mod json;
pub mod junit;
pub mod text;
