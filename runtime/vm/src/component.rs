//! From a core module to a package's two halves, and back to what the engine compiles.
//!
//! A compiler's output has names and line tables that are most of its bytes and that nothing but a trap
//! needs. [`componentize`] wraps the module in the contract world, [`split`] takes what is only for people
//! out of it, and [`join`] puts it back, so that a trap can name the author's file and line.

use crate::sections::{COMPONENT_HEADER, CORE_MODULE, CUSTOM, MODULE_HEADER, sections, write_section};
use wasmparser::{Parser, Payload};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::{Resolve, WorldId};

/// The contract world, the one that contracts are built against.
pub const WIT: &str = include_str!("../../../contracts-sdk/wit/contract.wit");

/// The interface that a contract imports; nothing else may be.
pub const HOST_INTERFACE: &str = "lockstep:contract/host@0.1.0";

/// What a core module must export to become a contract.
const CORE_EXPORTS: [&str; 4] = ["call", "cabi_realloc", "memory", "migrate"];

/// Why a core module cannot become a contract, for its author.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShapeError(String);

impl std::fmt::Display for ShapeError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ShapeError {}

/// A component's two halves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Halves {
    /// The component without names and line tables: what is executed.
    pub code: Vec<u8>,
    /// What was taken out: a component of core modules that have nothing but custom sections.
    pub debug: Vec<u8>,
}

/// Wraps a core module that has the contract world's functions by the canonical ABI.
///
/// # Errors
/// [`ShapeError`] names the export that is missing or the import that is not the host's.
pub fn componentize(core: &[u8]) -> Result<Vec<u8>, ShapeError> {
    check_core(core)?;
    let wrapped = || {
        let (resolve, world) = world()?;
        let mut module = core.to_vec();
        embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).map_err(|e| format!("{e:#}"))?;
        let mut encoder = ComponentEncoder::default().validate(true).module(&module).map_err(|e| format!("{e:#}"))?;
        encoder.encode().map_err(|e| format!("{e:#}"))
    };
    wrapped().map_err(|error: String| ShapeError(format!("the module does not fit the contract world: {error}")))
}

fn world() -> Result<(Resolve, WorldId), String> {
    let mut resolve = Resolve::default();
    let package = resolve.push_str("contract.wit", WIT).map_err(|e| format!("{e:#}"))?;
    let world = resolve.select_world(&[package], Some("contract")).map_err(|e| format!("{e:#}"))?;
    Ok((resolve, world))
}

/// Says in the author's words what the encoder would say in its own.
fn check_core(core: &[u8]) -> Result<(), ShapeError> {
    let malformed =
        |error: wasmparser::BinaryReaderError| ShapeError(format!("not a core WebAssembly module: {error}"));
    let mut missing: Vec<&str> = CORE_EXPORTS.to_vec();
    for payload in Parser::new(0).parse_all(core) {
        match payload.map_err(malformed)? {
            Payload::Version { encoding: wasmparser::Encoding::Component, .. } => {
                return Err(ShapeError("this is a component already, not a core module".into()));
            }
            Payload::ImportSection(imports) => {
                for import in imports.into_imports() {
                    let import = import.map_err(malformed)?;
                    if import.module != HOST_INTERFACE {
                        return Err(ShapeError(format!(
                            "the module imports {}.{}; a contract may import only {HOST_INTERFACE}",
                            import.module, import.name
                        )));
                    }
                }
            }
            Payload::ExportSection(exports) => {
                for export in exports {
                    let name = export.map_err(malformed)?.name;
                    missing.retain(|wanted| *wanted != name);
                }
            }
            Payload::StartSection { .. } => {
                return Err(ShapeError("the module has a start function, which contracts may not".into()));
            }
            _ => {}
        }
    }
    match missing.first() {
        None => Ok(()),
        Some(name) => Err(ShapeError(format!("the module does not export {name}; is there a contract!(…) line?"))),
    }
}

/// Takes all custom sections out of a component's core modules, and the component's own.
///
/// # Errors
/// [`ShapeError`] where `component` is not one.
pub fn split(component: &[u8]) -> Result<Halves, ShapeError> {
    let malformed = || ShapeError("not a component".into());
    let mut halves = Halves { code: COMPONENT_HEADER.to_vec(), debug: COMPONENT_HEADER.to_vec() };
    for section in sections(component, &COMPONENT_HEADER).ok_or_else(malformed)? {
        match section.id {
            CUSTOM => {}
            CORE_MODULE => {
                let (mut code, mut debug) = (MODULE_HEADER.to_vec(), MODULE_HEADER.to_vec());
                for part in sections(section.content, &MODULE_HEADER).ok_or_else(malformed)? {
                    let half = if part.id == CUSTOM { &mut debug } else { &mut code };
                    half.extend_from_slice(part.whole);
                }
                write_section(&mut halves.code, CORE_MODULE, &code);
                write_section(&mut halves.debug, CORE_MODULE, &debug);
            }
            _ => halves.code.extend_from_slice(section.whole),
        }
    }
    Ok(halves)
}

/// Puts the halves together: the code, whose nth core module gets the debug half's nth custom sections.
///
/// An empty debug half, and any that does not fit, is as good as none: it never decides whether code runs.
#[must_use]
pub fn join(code: &[u8], debug: &[u8]) -> Vec<u8> {
    joined(code, debug).unwrap_or_else(|| code.to_vec())
}

fn joined(code: &[u8], debug: &[u8]) -> Option<Vec<u8>> {
    let mut debug_modules = sections(debug, &COMPONENT_HEADER)?.into_iter().filter(|section| section.id == CORE_MODULE);
    let mut whole = COMPONENT_HEADER.to_vec();
    for section in sections(code, &COMPONENT_HEADER)? {
        if section.id != CORE_MODULE {
            whole.extend_from_slice(section.whole);
            continue;
        }
        let mut module = section.content.to_vec();
        for part in sections(debug_modules.next()?.content, &MODULE_HEADER)? {
            // Anything but names and tables would be code that nobody approved as code.
            part.name()?;
            module.extend_from_slice(part.whole);
        }
        write_section(&mut whole, CORE_MODULE, &module);
    }
    Some(whole)
}
