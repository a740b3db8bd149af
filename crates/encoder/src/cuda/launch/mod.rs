//! The way to the GPU: the device, memory, kernels by name, matrix products.
#![allow(unsafe_code, reason = "kernels take addresses; see the module above")]

mod device;
mod product;
mod profile;

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};

use candle_core::backend::BackendDevice;
use candle_core::cuda_backend::cudarc::driver::{
    CudaFunction, CudaStream, DevicePtr, LaunchConfig, PushKernelArg, sys,
};
use candle_core::cuda_backend::{CudaStorageSlice, DeviceId, WrapErr};
use candle_core::op::BackpropOp;
use candle_core::{
    CudaDevice, CudaStorage, DType, Device, DeviceLocation, Result, Shape, Storage, Tensor, bail,
};
use half::bf16;

pub(crate) use device::settings;
pub use device::{Memory, Settings, memory, name, open, synchronize};
pub(super) use product::Sizes;
use profile::measured;
pub use profile::{Share, profile};

static FUNCTIONS: LazyLock<Mutex<HashMap<(DeviceId, String), CudaFunction>>> = LazyLock::new(Mutex::default);

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Only whole entries are ever inserted, so a panic elsewhere leaves the maps usable.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Kernels of one source file.
pub(super) struct Module {
    name: &'static str,
    ptx: &'static str,
}

macro_rules! modules {
    ($($constant:ident $name:literal)*) => {
        $(pub(super) const $constant: Module = Module {
            name: concat!("encoder-", $name),
            ptx: include_str!(concat!(env!("OUT_DIR"), "/", $name, ".ptx")),
        };)*
    };
}
modules! { ROWS "rows" DENSE "dense" ATTENTION "attention" LOSS "loss" }

/// Shared memory that a block has without asking for more.
const SHARED_DEFAULT: usize = 48 << 10;

/// An argument of a kernel.
#[derive(Debug, Clone, Copy)]
pub(super) enum Arg {
    At(u64),
    Int(i32),
    Word(u32),
    Real(f32),
    Count(u64),
}

/// The argument for memory that is not there.
pub(super) const NOWHERE: Arg = Arg::At(0);

/// Blocks and threads of a launch.
#[derive(Debug, Clone, Copy)]
pub(super) struct Grid {
    pub(super) blocks: (usize, usize),
    pub(super) threads: (u32, u32),
    pub(super) shared: usize,
}

impl Grid {
    /// Blocks of 256 threads.
    pub(super) fn of(blocks: usize) -> Self {
        Self {
            blocks: (blocks, 1),
            threads: (256, 1),
            shared: 0,
        }
    }

    /// For kernels that stride over `parts` pieces of work.
    pub(super) fn over(parts: usize) -> Self {
        Self::of(parts.div_ceil(256).clamp(1, 132 * 16))
    }

    /// Blocks of 32 by 8 threads.
    pub(super) fn columns(x: usize, y: usize) -> Self {
        Self {
            blocks: (x, y),
            threads: (32, 8),
            shared: 0,
        }
    }
}

/// Address of the first value of a contiguous tensor.
pub(super) fn at(x: &Tensor) -> Result<Arg> {
    let (storage, layout) = x.storage_and_layout();
    let Storage::Cuda(storage) = &*storage else {
        bail!("a tensor of shape {:?} is not on the GPU", x.dims())
    };
    let Some((start, _)) = layout.contiguous_offsets() else {
        bail!("a tensor of shape {:?} is not contiguous", x.dims())
    };
    Ok(Arg::At(
        address(storage)? + (start * x.dtype().size_in_bytes()) as u64,
    ))
}

fn address(storage: &CudaStorage) -> Result<u64> {
    let stream = storage.device.cuda_stream();
    Ok(match &storage.slice {
        CudaStorageSlice::F32(slice) => slice.device_ptr(&stream).0,
        CudaStorageSlice::BF16(slice) => slice.device_ptr(&stream).0,
        CudaStorageSlice::U32(slice) => slice.device_ptr(&stream).0,
        CudaStorageSlice::I64(slice) => slice.device_ptr(&stream).0,
        _ => bail!("kernels take f32, bf16, u32 and i64"),
    })
}

/// Memory that becomes a tensor when it has been written.
pub(super) struct Fresh {
    storage: CudaStorage,
    shape: Shape,
}

impl Fresh {
    pub(super) fn at(&self) -> Result<Arg> {
        Ok(Arg::At(address(&self.storage)?))
    }

    pub(super) fn into_parts(self) -> (CudaStorage, Shape) {
        (self.storage, self.shape)
    }

    pub(super) fn tensor(self) -> Tensor {
        Tensor::from_storage(Storage::Cuda(self.storage), self.shape, BackpropOp::none(), false)
    }
}

/// A device, to launch on.
#[derive(Clone)]
pub(super) struct Gpu {
    cuda: CudaDevice,
    stream: Arc<CudaStream>,
}

/// The suffix of the kernels for a type of activations.
pub(super) fn suffix(dtype: DType) -> Result<&'static str> {
    match dtype {
        DType::F32 => Ok("f32"),
        DType::BF16 => Ok("bf16"),
        other => bail!("activations of type {other:?} on a GPU, accepted: f32 and bf16"),
    }
}

impl Gpu {
    /// The device that the tensor is on.
    pub(super) fn of(x: &Tensor) -> Result<Self> {
        Self::new(x.device())
    }

    pub(super) fn new(device: &Device) -> Result<Self> {
        let cuda = device.as_cuda_device()?.clone();
        if !matches!(cuda.location(), DeviceLocation::Cuda { .. }) {
            bail!("not a CUDA device")
        }
        let stream = cuda.cuda_stream();
        Ok(Self { cuda, stream })
    }

    /// Memory without values yet.
    pub(super) fn fresh(&self, shape: impl Into<Shape>, dtype: DType) -> Result<Fresh> {
        let shape = shape.into();
        let count = shape.elem_count();
        // SAFETY: whoever asks writes every value before anybody reads one.
        let slice = unsafe {
            match dtype {
                DType::F32 => CudaStorageSlice::F32(self.cuda.alloc::<f32>(count)?),
                DType::BF16 => CudaStorageSlice::BF16(self.cuda.alloc::<bf16>(count)?),
                other => bail!("results of type {other:?} on a GPU, accepted: f32 and bf16"),
            }
        };
        let device = self.cuda.clone();
        let storage = CudaStorage { slice, device };
        Ok(Fresh { storage, shape })
    }

    /// As [`Gpu::fresh`], as a tensor at once, for kernels to write.
    pub(super) fn empty(&self, shape: impl Into<Shape>, dtype: DType) -> Result<Tensor> {
        Ok(self.fresh(shape, dtype)?.tensor())
    }

    pub(super) fn zeros(&self, shape: &Shape) -> Result<Tensor> {
        Tensor::zeros(shape, DType::F32, &Device::Cuda(self.cuda.clone()))
    }

    /// Launches a kernel. Its arguments must be of the kinds that its source says, its tensors as large.
    pub(super) fn launch(&self, module: &Module, name: &str, grid: Grid, args: &[Arg]) -> Result<()> {
        let function = self.function(module, name, grid.shared)?;
        let mut launch = self.stream.launch_builder(&function);
        for arg in args {
            match arg {
                Arg::At(value) | Arg::Count(value) => launch.arg(value),
                Arg::Int(value) => launch.arg(value),
                Arg::Word(value) => launch.arg(value),
                Arg::Real(value) => launch.arg(value),
            };
        }
        let (blocks, threads) = (grid.blocks, grid.threads);
        let config = LaunchConfig {
            grid_dim: (blocks.0 as u32, blocks.1 as u32, 1),
            block_dim: (threads.0, threads.1, 1),
            shared_mem_bytes: grid.shared as u32,
        };
        // SAFETY: the callers in this folder name the arguments as the sources declare them, and the checks of
        // `examples/gpu_check.rs` run every one of them.
        measured(
            &self.stream,
            || name.to_owned(),
            || unsafe { launch.launch(config) }.w(),
        )?;
        Ok(())
    }

    fn function(&self, module: &Module, name: &str, shared: usize) -> Result<CudaFunction> {
        let mut functions = lock(&FUNCTIONS);
        let key = (self.cuda.id(), name.to_owned());
        if let Some(function) = functions.get(&key) {
            return Ok(function.clone());
        }
        let found = self.cuda.get_or_load_custom_func(name, module.name, module.ptx)?;
        let function = found.into_cuda_function();
        if shared > SHARED_DEFAULT {
            let attribute = sys::CUfunction_attribute_enum::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
            function.set_attribute(attribute, shared as i32).w()?;
        }
        functions.insert(key, function.clone());
        Ok(function)
    }
}
