//! The engine: a package's code, compiled once, a fresh instance for every call.

use crate::cache::DiskCache;
use crate::component::join;
use crate::config::WasmConfig;
use crate::host::Call;
use crate::host::bindings::{Contract, ContractPre, Rejection as GuestRejection};
use crate::inspect::inspect;
use crate::trap;
use lockstep_core::crypto::Digest;
use lockstep_core::engine::{CodeError, Engine, Host, Limits, Rejection, Stop};
use lockstep_core::package::Package;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use wasmtime::component::{Component, HasSelf, Linker};
use wasmtime::{
    Config, Enabled, OptLevel, PoolConcurrencyLimitError, PoolingAllocationConfig, Store, WasmBacktraceDetails,
};

/// Why there is no engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EngineError(String);

impl std::fmt::Display for EngineError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the WebAssembly engine cannot start: {}", self.0)
    }
}

impl std::error::Error for EngineError {}

/// Executes contracts with wasmtime. Calls from many threads at once share compiled code and nothing else.
pub struct WasmEngine {
    config: WasmConfig,
    sequencing: Tier,
    comparing: Tier,
}

impl std::fmt::Debug for WasmEngine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WasmEngine").field("config", &self.config).finish_non_exhaustive()
    }
}

/// A wasmtime engine: the size of the native stack is a property of it and not of a call.
struct Tier {
    engine: wasmtime::Engine,
    linker: Linker<Call>,
    disk: Option<DiskCache>,
    memory: Mutex<Kept>,
    /// One compilation at a time, so that a package which many calls ask for is compiled once.
    compiling: Mutex<()>,
    kept_packages: usize,
}

/// Compiled packages in memory, with the turn of their last use.
#[derive(Default)]
struct Kept {
    turn: u64,
    packages: HashMap<Digest, (u64, Arc<ContractPre<Call>>)>,
}

impl WasmEngine {
    /// Starts an engine.
    ///
    /// # Errors
    /// The processor is not one that code can be compiled for, or the cache's folder is open to others.
    pub fn new(config: WasmConfig) -> Result<Self, EngineError> {
        let sequencing = Tier::new(&config, config.stack_bytes)?;
        let comparing = Tier::new(&config, config.comparing_stack_bytes)?;
        Ok(WasmEngine { config, sequencing, comparing })
    }

    /// Has the code take over record 0 from version `from_version` of the contract.
    ///
    /// # Errors
    /// Every way of not returning is a [`Stop`].
    pub fn migrate(
        &self,
        package: &Package,
        from_version: &str,
        host: &mut dyn Host,
        limits: &Limits,
    ) -> Result<(), Stop> {
        self.run(package, host, limits, |contract, store| {
            store.data_mut().count_input(from_version.len())?;
            contract.call_migrate(store, from_version)
        })
    }

    fn tier(&self, limits: &Limits) -> &Tier {
        if limits.stack_bytes <= self.config.stack_bytes { &self.sequencing } else { &self.comparing }
    }

    /// Runs `act` on a fresh instance that is gone when this returns.
    #[allow(unsafe_code, reason = "a store's data must be 'static, the host is borrowed for one call")]
    fn run(
        &self,
        package: &Package,
        host: &mut dyn Host,
        limits: &Limits,
        act: impl FnOnce(&Contract, &mut Store<Call>) -> wasmtime::Result<Result<(), GuestRejection>>,
    ) -> Result<(), Stop> {
        let tier = self.tier(limits);
        let code = tier.code(package, &self.config).map_err(|error| Stop::Broken(error.to_string()))?;
        // SAFETY: the store, and the state in it, is dropped at the end of this function, where `host` is
        // still borrowed.
        let mut store = Store::new(&tier.engine, unsafe { Call::new(host, limits) });
        store.set_fuel(limits.fuel).map_err(|error| Stop::Broken(error.to_string()))?;
        store.limiter(|call| &mut call.room);
        store.set_hostcall_fuel(usize::try_from(limits.output_bytes).unwrap_or(usize::MAX));
        let ended =
            instantiate(&code, &mut store).and_then(|contract| act(&contract, &mut store)).and_then(|outcome| {
                if let Err(no) = &outcome {
                    store.data_mut().count_output(no.reason.len() + no.message.len())?;
                }
                Ok(outcome)
            });
        match ended {
            Ok(Ok(())) => Ok(()),
            Ok(Err(GuestRejection { reason, message })) => Err(Stop::Rejected(Rejection { reason, message })),
            Err(error) => Err(trap::stop(&error, store.data())),
        }
    }
}

impl Engine for WasmEngine {
    fn call(
        &self,
        package: &Package,
        method: &str,
        arguments: &str,
        host: &mut dyn Host,
        limits: &Limits,
    ) -> Result<(), Stop> {
        self.run(package, host, limits, |contract, store| {
            store.data_mut().count_input(method.len() + arguments.len())?;
            contract.call_call(store, method, arguments)
        })
    }

    fn check(&self, package: &Package) -> Result<(), CodeError> {
        self.sequencing.code(package, &self.config).map(|_| ())
    }
}

impl Tier {
    fn new(config: &WasmConfig, stack_bytes: u64) -> Result<Self, EngineError> {
        let start = || {
            let engine = wasmtime::Engine::new(settings(stack_bytes)?.allocation_strategy(pool()));
            // A process that may not reserve so many addresses makes memories one by one, which is slower.
            let engine = engine.or_else(|_| wasmtime::Engine::new(&settings(stack_bytes)?))?;
            let mut linker = Linker::new(&engine);
            Contract::add_to_linker::<_, HasSelf<Call>>(&mut linker, |call| call)?;
            Ok((engine, linker))
        };
        let (engine, linker) = start().map_err(|error: wasmtime::Error| EngineError(format!("{error:#}")))?;
        let disk = config.cache_dir.as_deref().map(|dir| DiskCache::open(dir, &engine));
        let disk = disk.transpose().map_err(|error| EngineError(error.to_string()))?;
        let (memory, compiling) = Default::default();
        Ok(Tier { engine, linker, disk, memory, compiling, kept_packages: config.kept_packages.max(1) })
    }

    /// The package's code, ready to be instantiated: from memory, else from disk, else compiled.
    fn code(&self, package: &Package, config: &WasmConfig) -> Result<Arc<ContractPre<Call>>, CodeError> {
        let digest = package.digest();
        if let Some(code) = self.kept().take_note(&digest) {
            return Ok(code);
        }
        let _one_at_a_time = self.compiling.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(code) = self.kept().take_note(&digest) {
            return Ok(code);
        }
        let unusable = |message: String| CodeError { package: digest, message };
        let component = self.component(package, &digest, config).map_err(unusable)?;
        let linked = self.linker.instantiate_pre(&component).and_then(ContractPre::new);
        let code = Arc::new(linked.map_err(|error| unusable(format!("it is no contract: {error:#}")))?);
        self.kept().keep(digest, &code, self.kept_packages);
        Ok(code)
    }

    fn component(&self, package: &Package, digest: &Digest, config: &WasmConfig) -> Result<Component, String> {
        if let Some(component) = self.disk.as_ref().and_then(|disk| disk.load(&self.engine, digest)) {
            return Ok(component);
        }
        inspect(&package.code, &config.bounds)?;
        let whole = join(&package.code, &package.debug);
        let compiled =
            Component::from_binary(&self.engine, &whole).map_err(|error| format!("it is malformed: {error:#}"))?;
        if let Some(disk) = &self.disk {
            disk.store(digest, &compiled);
        }
        Ok(compiled)
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    /// The package's code where it is kept, now the most recently used.
    fn take_note(&mut self, digest: &Digest) -> Option<Arc<ContractPre<Call>>> {
        self.turn += 1;
        let (last_use, code) = self.packages.get_mut(digest)?;
        *last_use = self.turn;
        Some(Arc::clone(code))
    }

    /// Keeps code, in place of what has not been used for longest where there is no room.
    fn keep(&mut self, digest: Digest, code: &Arc<ContractPre<Call>>, room: usize) {
        if self.packages.len() >= room {
            let oldest = self.packages.iter().min_by_key(|(_, (last_use, _))| *last_use).map(|(digest, _)| *digest);
            oldest.map(|digest| self.packages.remove(&digest));
        }
        self.packages.insert(digest, (self.turn, Arc::clone(code)));
    }
}

/// A fresh instance. Where all places of the pool are taken, one is free soon: calls are short.
fn instantiate(code: &ContractPre<Call>, store: &mut Store<Call>) -> wasmtime::Result<Contract> {
    loop {
        match code.instantiate(&mut *store) {
            Err(error) if error.is::<PoolConcurrencyLimitError>() => std::thread::yield_now(),
            ended => return ended,
        }
    }
}

/// Memories and tables that are kept between calls, so that a call has none to map and unmap. They are addresses,
/// not memory; there is room for everything that a component may be, so that the pool decides nothing.
fn pool() -> PoolingAllocationConfig {
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(128)
        .total_core_instances(1_024)
        .total_memories(128)
        .total_tables(3_300)
        .max_memory_size(1 << 32)
        .table_elements(10_000_000)
        .max_tables_per_module(100)
        .max_core_instance_size(64 << 20)
        .max_component_instance_size(64 << 20)
        .pagemap_scan(Enabled::Auto);
    // Where the kernel tells which pages a call touched, those are cleared and kept; else all are given back.
    if PoolingAllocationConfig::is_pagemap_scan_available() {
        pool.linear_memory_keep_resident(2 << 20).table_keep_resident(64 << 10);
    }
    pool
}

/// Everything that is the same for every call: what decides results first, then what WebAssembly there is.
fn settings(stack_bytes: u64) -> wasmtime::Result<Config> {
    let mut config = Config::new();
    config
        .consume_fuel(true)
        .cranelift_nan_canonicalization(true)
        .relaxed_simd_deterministic(true)
        .max_wasm_stack(usize::try_from(stack_bytes)?)
        .cranelift_opt_level(OptLevel::Speed)
        .wasm_backtrace_details(WasmBacktraceDetails::Enable);
    config
        .wasm_component_model(true)
        .wasm_tail_call(false)
        .wasm_multi_memory(false)
        .wasm_memory64(false)
        .wasm_custom_page_sizes(false)
        .wasm_wide_arithmetic(false);
    Ok(config)
}
