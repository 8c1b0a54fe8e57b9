//! One call's side of the door: what the guest asks goes to core's host, counted and bounded.

use crate::trap::Halt;
use lockstep_core::engine::{Host, HostError, Limits};
use lockstep_core::json::{self, Json, Operation, Pointer};
use wasmtime::ResourceLimiter;

#[allow(missing_docs, unreachable_pub, clippy::all, reason = "generated from the world's WIT")]
pub(crate) mod bindings {
    wasmtime::component::bindgen!({
        path: "../../contracts-sdk/wit",
        world: "contract",
        imports: { default: trappable },
    });
}

use bindings::lockstep::contract::host as world;

/// A guest's message that begins so is the reason of the trap that follows it.
const PANIC: &str = "panic at ";

/// State of one call; it lives in the call's store and dies with it.
pub(crate) struct Call {
    host: lent::Lent,
    /// What the guest's memories and tables may still take.
    pub(crate) room: Room,
    limits: Limits,
    calls: u64,
    input: u64,
    output: u64,
    logged: u64,
    /// The last panic that the guest reported.
    pub(crate) panic: Option<String>,
}

/// Memory and table elements that the guest has, and what it may have.
pub(crate) struct Room {
    memory: u64,
    memory_limit: u64,
    elements: u64,
    elements_limit: u64,
}

impl Call {
    /// State for one call on behalf of `host`.
    ///
    /// # Safety
    /// The state must be dropped before the borrow of `host` ends.
    #[allow(unsafe_code, reason = "hands the caller's promise on")]
    pub(crate) unsafe fn new(host: &mut dyn Host, limits: &Limits) -> Self {
        // SAFETY: the caller promises what `Lent` asks for.
        let host = unsafe { lent::Lent::new(host) };
        let room =
            Room { memory: 0, memory_limit: limits.memory_bytes, elements: 0, elements_limit: limits.table_elements };
        Call { host, room, limits: *limits, calls: 0, input: 0, output: 0, logged: 0, panic: None }
    }

    /// Counts one call from the guest with `bytes` of text in its arguments, whatever they are for: to copy
    /// them is work that fuel does not count.
    fn count_call(&mut self, bytes: usize) -> wasmtime::Result<()> {
        self.calls += 1;
        self.output = self.output.saturating_add(bytes as u64);
        if self.calls > self.limits.host_calls {
            return Err(Halt::Limit("host_calls").into());
        }
        if self.output > self.limits.output_bytes {
            return Err(Halt::Limit("output").into());
        }
        Ok(())
    }

    /// Counts what the guest gets.
    pub(crate) fn count_input(&mut self, bytes: usize) -> wasmtime::Result<()> {
        self.input = self.input.saturating_add(bytes as u64);
        if self.input > self.limits.input_bytes { Err(Halt::Limit("input").into()) } else { Ok(()) }
    }

    /// Counts what the guest returns.
    pub(crate) fn count_output(&mut self, bytes: usize) -> wasmtime::Result<()> {
        self.output = self.output.saturating_add(bytes as u64);
        if self.output > self.limits.output_bytes { Err(Halt::Limit("output").into()) } else { Ok(()) }
    }

    fn parse(&self, text: &str) -> Result<Json, world::Failure> {
        let bytes = usize::try_from(self.limits.output_bytes).unwrap_or(usize::MAX);
        let limits = json::Limits { bytes, ..json::Limits::default() };
        Json::parse(text.as_bytes(), &limits).map_err(|error| failure("json", error.to_string()))
    }

    fn operation(&self, operation: &world::Operation) -> Result<Operation, world::Failure> {
        use world::Operation as Asked;
        let pointer = |text: &str| Pointer::parse(text).map_err(|error| failure("pointer", error.to_string()));
        Ok(match operation {
            Asked::Add(op) => Operation::Add { path: pointer(&op.path)?, value: self.parse(&op.value)? },
            Asked::Remove(path) => Operation::Remove { path: pointer(path)? },
            Asked::Replace(op) => Operation::Replace { path: pointer(&op.path)?, value: self.parse(&op.value)? },
            Asked::Move(op) => Operation::Move { from: pointer(&op.from)?, path: pointer(&op.path)? },
            Asked::Copy(op) => Operation::Copy { from: pointer(&op.from)?, path: pointer(&op.path)? },
            Asked::Test(op) => Operation::Test { path: pointer(&op.path)?, value: self.parse(&op.value)? },
        })
    }
}

fn operation_bytes(operation: &world::Operation) -> usize {
    use world::Operation as Asked;
    match operation {
        Asked::Add(op) | Asked::Replace(op) | Asked::Test(op) => op.path.len() + op.value.len(),
        Asked::Remove(path) => path.len(),
        Asked::Move(op) | Asked::Copy(op) => op.from.len() + op.path.len(),
    }
}

fn failure(code: &str, message: String) -> world::Failure {
    world::Failure { code: code.to_owned(), message }
}

/// The host's answer as the guest gets it: a failure is the guest's, a stop ends the call.
fn answer<T>(result: Result<T, HostError>) -> wasmtime::Result<Result<T, world::Failure>> {
    match result {
        Ok(value) => Ok(Ok(value)),
        Err(HostError::Failure { code, message }) => Ok(Err(failure(code, message))),
        Err(HostError::Stop) => Err(Halt::Host.into()),
    }
}

impl world::Host for Call {
    fn context(&mut self) -> wasmtime::Result<String> {
        self.count_call(0)?;
        let context = self.host.get().context();
        self.count_input(context.len())?;
        Ok(context)
    }

    fn read(
        &mut self,
        record: u32,
        section: String,
        pointer: String,
    ) -> wasmtime::Result<Result<Option<String>, world::Failure>> {
        self.count_call(section.len() + pointer.len())?;
        let found = answer(self.host.get().read(record, &section, &pointer))?;
        if let Ok(Some(text)) = &found {
            self.count_input(text.len())?;
        }
        Ok(found)
    }

    fn keys(
        &mut self,
        record: u32,
        section: String,
        pointer: String,
    ) -> wasmtime::Result<Result<Vec<String>, world::Failure>> {
        self.count_call(section.len() + pointer.len())?;
        let found = answer(self.host.get().keys(record, &section, &pointer))?;
        if let Ok(names) = &found {
            // Each name costs a pointer and a length, too.
            self.count_input(names.iter().map(|name| name.len() + 8).sum())?;
        }
        Ok(found)
    }

    fn change(
        &mut self,
        record: u32,
        section: String,
        operation: world::Operation,
    ) -> wasmtime::Result<Result<(), world::Failure>> {
        self.count_call(section.len() + operation_bytes(&operation))?;
        match self.operation(&operation) {
            Ok(operation) => answer(self.host.get().change(record, &section, operation)),
            Err(no) => Ok(Err(no)),
        }
    }

    fn notify(
        &mut self,
        record: u32,
        section: String,
        kind: String,
        data: String,
    ) -> wasmtime::Result<Result<(), world::Failure>> {
        self.count_call(section.len() + kind.len() + data.len())?;
        match self.parse(&data) {
            Ok(data) => answer(self.host.get().notify(record, &section, &kind, data)),
            Err(no) => Ok(Err(no)),
        }
    }

    fn log(&mut self, message: String) -> wasmtime::Result<()> {
        self.count_call(message.len())?;
        if message.starts_with(PANIC) {
            self.panic = Some(bounded(&message, 4 << 10).to_owned());
        }
        let room = self.limits.log_bytes.saturating_sub(self.logged);
        let kept = bounded(&message, usize::try_from(room).unwrap_or(usize::MAX));
        self.logged = self.logged.saturating_add(kept.len() as u64);
        if !kept.is_empty() {
            self.host.get().log(kept);
        }
        Ok(())
    }
}

/// The longest beginning of `text` of at most `bytes` that ends between characters.
fn bounded(text: &str, bytes: usize) -> &str {
    text.get(..text.floor_char_boundary(bytes)).unwrap_or(text)
}

impl ResourceLimiter for Room {
    fn memory_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        self.memory = self.memory.saturating_add(desired.saturating_sub(current) as u64);
        if self.memory > self.memory_limit { Err(Halt::Limit("memory").into()) } else { Ok(true) }
    }

    fn memory_grow_failed(&mut self, _: wasmtime::Error) -> wasmtime::Result<()> {
        Err(Halt::Limit("memory").into())
    }

    fn table_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        self.elements = self.elements.saturating_add(desired.saturating_sub(current) as u64);
        if self.elements > self.elements_limit { Err(Halt::Limit("table").into()) } else { Ok(true) }
    }

    fn table_grow_failed(&mut self, _: wasmtime::Error) -> wasmtime::Result<()> {
        Err(Halt::Limit("table").into())
    }
}

/// The one thing that the types cannot say: a store outlives nothing that it borrows.
mod lent {
    #![allow(unsafe_code, reason = "a store's data must be 'static, the host is borrowed for one call")]

    use lockstep_core::engine::Host;
    use std::ptr::NonNull;

    /// A host, borrowed for as long as one call.
    ///
    /// Invariant: it is dropped, with the store that holds it, before the borrow ends.
    pub(super) struct Lent(NonNull<dyn Host>);

    impl Lent {
        /// Forgets how long `host` is borrowed.
        ///
        /// # Safety
        /// The result must be dropped before the borrow of `host` ends.
        pub(super) unsafe fn new<'a>(host: &'a mut (dyn Host + 'a)) -> Self {
            let lent: NonNull<dyn Host + 'a> = NonNull::from(host);
            // SAFETY: only the lifetime changes; the caller promises not to outlive it.
            Lent(unsafe { std::mem::transmute::<NonNull<dyn Host + 'a>, NonNull<dyn Host + 'static>>(lent) })
        }

        /// The host, for one of the guest's requests.
        pub(super) fn get(&mut self) -> &mut dyn Host {
            // SAFETY: the pointer came from a unique borrow that has not ended, and is used by one request
            // at a time because `self` is borrowed uniquely.
            unsafe { self.0.as_mut() }
        }
    }
}
