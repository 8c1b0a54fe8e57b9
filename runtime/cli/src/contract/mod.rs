//! Contracts on their author's machine: making a new one, building a package.

mod build;
mod description;
mod new;
mod scenario;
mod stage;
mod test;
mod toolchain;
mod world;

pub use build::{BuildError, BuildOptions, Built, build};
//pub use new::{NewError, new_contract};
pub(crate) use test::{run_scenarios, scenarios_of};
