//! Contracts on their author's machine: making a new one, building a package.

mod build;
mod description;
mod new;
mod stage;
mod toolchain;

pub use build::{BuildError, BuildOptions, Built, build};
pub use new::{NewError, new_contract};
