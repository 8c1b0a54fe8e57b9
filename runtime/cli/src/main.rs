//! lockstep
mod contract;
fn main() {
    let dir = std::env::args().nth(1).unwrap_or_default();
    match contract::build(std::path::Path::new(&dir), &contract::BuildOptions{ out: std::env::args().nth(2).map(Into::into), target_dir: std::env::var_os("CARGO_TARGET_DIR").map(|d| std::path::PathBuf::from(d).join("lockstep-contracts")) }) {
        Ok(built) => println!("{}", built.to_json()),
        Err(error) => { eprintln!("error: {error}"); std::process::exit(1) }
    }
}
