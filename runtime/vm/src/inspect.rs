//! Reads code before it is compiled and says why it is no contract.
//!
//! Everything here is a property of the bytes alone, so every node says the same.

use crate::component::HOST_INTERFACE;
use crate::config::CodeBounds;
use wasmparser::{ComponentTypeRef, Encoding, FunctionBody, Parser, Payload};

/// Whether `code` is a component that may be compiled: only the host's interface imported, nothing that
/// runs before a call, nothing beyond `bounds`.
pub(crate) fn inspect(code: &[u8], bounds: &CodeBounds) -> Result<(), String> {
    if code.len() > bounds.bytes {
        return Err(format!("it has {} bytes; code may have {}", code.len(), bounds.bytes));
    }
    let mut seen = Seen::default();
    for payload in Parser::new(0).parse_all(code) {
        let payload = payload.map_err(|error| format!("it is malformed or truncated: {error}"))?;
        seen.take(&payload, bounds)?;
    }
    Ok(())
}

/// What has been read so far.
#[derive(Default)]
struct Seen {
    /// How many binaries are open around the current one; the outermost is 1.
    depth: u32,
    functions: u32,
    modules: u32,
    instances: u32,
}

impl Seen {
    fn take(&mut self, payload: &Payload<'_>, bounds: &CodeBounds) -> Result<(), String> {
        match payload {
            Payload::Version { encoding, .. } => self.open(*encoding)?,
            Payload::End(_) => self.depth = self.depth.saturating_sub(1),
            Payload::StartSection { .. } | Payload::ComponentStartSection { .. } => {
                return Err("it has a start function, which would run before the call".into());
            }
            Payload::ComponentImportSection(imports) if self.depth == 1 => {
                for import in imports.clone() {
                    let import = import.map_err(|error| error.to_string())?;
                    let name = import.name.name;
                    // The world's own types are imported by their names; a type can do nothing.
                    if name != HOST_INTERFACE && !matches!(import.ty, ComponentTypeRef::Type(_)) {
                        return Err(format!("it imports {name}; a contract may import only {HOST_INTERFACE}"));
                    }
                }
            }
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => {
                self.modules += 1;
                within("modules", self.modules, bounds.modules)?;
            }
            Payload::InstanceSection(instances) => {
                self.instances = self.instances.saturating_add(instances.count());
                within("instances", self.instances, bounds.modules * 8)?;
            }
            Payload::CodeSectionStart { count, .. } => {
                self.functions = self.functions.saturating_add(*count);
                within("functions", self.functions, bounds.functions)?;
            }
            Payload::CodeSectionEntry(body) => check_body(body, bounds)?,
            _ => {}
        }
        Ok(())
    }

    fn open(&mut self, encoding: Encoding) -> Result<(), String> {
        self.depth += 1;
        match (self.depth, encoding) {
            (1, Encoding::Module) => Err("it is a core module, no component".into()),
            _ => Ok(()),
        }
    }
}

fn check_body(body: &FunctionBody<'_>, bounds: &CodeBounds) -> Result<(), String> {
    let range = body.range();
    let bytes = range.end.saturating_sub(range.start);
    if bytes > bounds.function_bytes {
        let place = range.start;
        return Err(format!("the function at byte {place} has {bytes} bytes; one may have {}", bounds.function_bytes));
    }
    let mut locals = 0_u32;
    for group in body.get_locals_reader().map_err(|error| error.to_string())? {
        let (count, _) = group.map_err(|error| error.to_string())?;
        locals = locals.saturating_add(count);
    }
    within("locals in one function", locals, bounds.locals)
}

fn within(what: &str, found: u32, bound: u32) -> Result<(), String> {
    if found <= bound { Ok(()) } else { Err(format!("it has {found} {what}; it may have {bound}")) }
}
