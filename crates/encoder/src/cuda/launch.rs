//! The way to the GPU: the device, memory, kernels by name, matrix products.
#![allow(
    unsafe_code,
    reason = "kernels and products take addresses; see the module above"
)]

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use candle_core::backend::BackendDevice;
use candle_core::cuda_backend::cudarc::cublas::{result as cublas, sys as blas};
use candle_core::cuda_backend::cudarc::driver::{
    CudaFunction, CudaStream, DevicePtr, LaunchConfig, PushKernelArg, result as driver, sys,
};
use candle_core::cuda_backend::{CudaStorageSlice, DeviceId, WrapErr};
use candle_core::op::BackpropOp;
use candle_core::{
    CudaDevice, CudaStorage, DType, Device, DeviceLocation, Result, Shape, Storage, Tensor, bail,
};
use half::bf16;

/// How models compute on a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// The type of activations and their gradients: bf16, or f32.
    pub activations: DType,
    /// Whether the backward pass computes the activations of each layer again instead of keeping them. It takes a
    /// third longer and a fraction of the memory (Chen et al. 2016, <https://arxiv.org/abs/1604.06174>).
    pub recompute: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            activations: DType::BF16,
            recompute: false,
        }
    }
}

static OPENED: LazyLock<Mutex<HashMap<DeviceId, Settings>>> = LazyLock::new(Mutex::default);
static FUNCTIONS: LazyLock<Mutex<HashMap<(DeviceId, String), CudaFunction>>> = LazyLock::new(Mutex::default);

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Only whole entries are ever inserted, so a panic elsewhere leaves the maps usable.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Opens the first GPU. Every model on this device computes as the settings say.
///
/// # Errors
/// When there is no GPU or its driver refuses; an activation type other than bf16 and f32.
pub fn open(settings: Settings) -> Result<Device> {
    if !matches!(settings.activations, DType::BF16 | DType::F32) {
        bail!(
            "activations of type {:?}, accepted: bf16 and f32",
            settings.activations
        )
    }
    let device = Device::new_cuda_with_stream(0)?;
    let cuda = device.as_cuda_device()?;
    let stream = cuda.cuda_stream();
    // All work of this device goes to one stream, in order, so no event has to guard a buffer.
    unsafe { cuda.disable_event_tracking() };
    let pool = pool(&stream)?;
    let mut keep = u64::MAX;
    // Freed memory stays with the program: returning it to the driver at every synchronization costs milliseconds.
    unsafe {
        driver::mem_pool::set_attribute(
            pool,
            sys::CUmemPool_attribute::CU_MEMPOOL_ATTR_RELEASE_THRESHOLD,
            (&raw mut keep).cast(),
        )
    }
    .w()?;
    lock(&OPENED).insert(cuda.id(), settings);
    Ok(device)
}

fn pool(stream: &Arc<CudaStream>) -> Result<sys::CUmemoryPool> {
    // The device is the stream's own, so it is a sound one.
    unsafe { driver::device::get_default_mem_pool(stream.context().cu_device()) }.w()
}

/// Memory of a GPU in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memory {
    /// In use now.
    pub used: u64,
    /// The most that was in use at a time.
    pub peak: u64,
}

/// What the tensors of this program take on the device.
///
/// # Errors
/// When the device is no GPU or its driver refuses.
pub fn memory(device: &Device) -> Result<Memory> {
    let pool = pool(&device.as_cuda_device()?.cuda_stream())?;
    let read = |attribute| {
        let mut value = 0u64;
        // Both attributes are counts of 64 bits.
        unsafe { driver::mem_pool::get_attribute(pool, attribute, (&raw mut value).cast()) }.w()?;
        Ok::<u64, candle_core::Error>(value)
    };
    Ok(Memory {
        used: read(sys::CUmemPool_attribute::CU_MEMPOOL_ATTR_USED_MEM_CURRENT)?,
        peak: read(sys::CUmemPool_attribute::CU_MEMPOOL_ATTR_USED_MEM_HIGH)?,
    })
}

/// Waits until the device has done what it was told.
///
/// # Errors
/// When a kernel failed.
pub fn synchronize(device: &Device) -> Result<()> {
    device.synchronize()
}

/// Launches and seconds of a kernel, or of the matrix products.
#[derive(Debug, Clone, PartialEq)]
pub struct Share {
    /// The kernel's name; for matrix products their sizes, by columns.
    pub name: String,
    /// How often it was launched.
    pub launches: u64,
    /// Seconds that it took, each launch by itself.
    pub seconds: f64,
}

type Profile = HashMap<String, (u64, f64)>;
static PROFILE: Mutex<Option<Profile>> = Mutex::new(None);
static PROFILES: AtomicBool = AtomicBool::new(false);

/// Runs `work` and says what its kernels took, the largest share first. Each launch waits for the one before it, so
/// the whole takes longer than usual.
///
/// # Errors
/// What `work` says.
pub fn profile<E>(work: impl FnOnce() -> std::result::Result<(), E>) -> std::result::Result<Vec<Share>, E> {
    *lock(&PROFILE) = Some(Profile::new());
    PROFILES.store(true, Ordering::Relaxed);
    let done = work();
    PROFILES.store(false, Ordering::Relaxed);
    let found = lock(&PROFILE).take().unwrap_or_default();
    done?;
    let share = |(name, (launches, seconds))| Share {
        name,
        launches,
        seconds,
    };
    let mut shares: Vec<Share> = found.into_iter().map(share).collect();
    shares.sort_by(|a, b| b.seconds.total_cmp(&a.seconds));
    Ok(shares)
}

/// Does one launch, and measures it while a profile is taken.
fn measured<T>(
    stream: &CudaStream,
    name: impl FnOnce() -> String,
    launch: impl FnOnce() -> Result<T>,
) -> Result<T> {
    if !PROFILES.load(Ordering::Relaxed) {
        return launch();
    }
    stream.synchronize().w()?;
    let start = Instant::now();
    let result = launch()?;
    stream.synchronize().w()?;
    if let Some(profile) = lock(&PROFILE).as_mut() {
        let share = profile.entry(name()).or_default();
        share.0 += 1;
        share.1 += start.elapsed().as_secs_f64();
    }
    Ok(result)
}

/// How a device computes; a device that was not opened here computes in bf16.
pub(crate) fn settings(device: &Device) -> Result<Settings> {
    let id = device.as_cuda_device()?.id();
    Ok(lock(&OPENED).get(&id).copied().unwrap_or_default())
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

/// Which matrices are multiplied: x (rows, input), weight (out, input), y (rows, out).
#[derive(Debug, Clone, Copy)]
pub(super) struct Sizes {
    pub(super) rows: usize,
    pub(super) out: usize,
    pub(super) input: usize,
    /// How far the rows of y lie apart, at least `out`.
    pub(super) stride: usize,
}

/// A matrix as cuBLAS takes it: by columns.
struct Matrix<'a> {
    tensor: &'a Tensor,
    turned: bool,
    stride: usize,
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
        // Whoever asks writes every value before anybody reads one.
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
        // The callers in this folder name the arguments as the sources declare them, and the checks of
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

    /// `y = x weightᵀ`, of the type of x.
    pub(super) fn product(&self, sizes: Sizes, x: &Tensor, weight: &Tensor) -> Result<Tensor> {
        let y = self.empty((sizes.rows, sizes.stride), x.dtype())?;
        let weight = Matrix::new(weight, true, sizes.input);
        let x = Matrix::new(x, false, sizes.input);
        self.multiply(
            (sizes.out, sizes.rows, sizes.input),
            weight,
            x,
            (&y, sizes.stride),
            false,
        )?;
        Ok(y)
    }

    /// `dx = dy weight`, or added to what is there.
    pub(super) fn input_gradient(
        &self,
        sizes: Sizes,
        dy: &Tensor,
        weight: &Tensor,
        dx: &Tensor,
        add: bool,
    ) -> Result<()> {
        let weight = Matrix::new(weight, false, sizes.input);
        let dy = Matrix::new(dy, false, sizes.stride);
        self.multiply(
            (sizes.input, sizes.rows, sizes.out),
            weight,
            dy,
            (dx, sizes.input),
            add,
        )
    }

    /// `dweight = dyᵀ x` in f32, or added to what is there.
    pub(super) fn weight_gradient(
        &self,
        sizes: Sizes,
        dy: &Tensor,
        x: &Tensor,
        dweight: &Tensor,
        add: bool,
    ) -> Result<()> {
        let x = Matrix::new(x, false, sizes.input);
        let dy = Matrix::new(dy, true, sizes.stride);
        self.multiply(
            (sizes.input, sizes.out, sizes.rows),
            x,
            dy,
            (dweight, sizes.input),
            add,
        )
    }

    /// As [`Gpu::weight_gradient`], of each of so many parts of the rows by itself: dweight (parts, out × input).
    /// `sizes.rows` are those of a part; what is left of the rows is not looked at.
    pub(super) fn weight_gradients(
        &self,
        sizes: Sizes,
        dy: &Tensor,
        x: &Tensor,
        dweights: &Tensor,
        parts: usize,
    ) -> Result<()> {
        let Sizes {
            rows,
            out,
            input,
            stride,
        } = sizes;
        let x = Matrix::new(x, false, input);
        let dy = Matrix::new(dy, true, stride);
        let batch = Batch {
            count: parts,
            steps: [rows * input, rows * stride, out * input],
        };
        self.multiply_batch((input, out, rows), x, dy, (dweights, input), false, batch)
    }

    fn multiply(
        &self,
        sizes: (usize, usize, usize),
        a: Matrix<'_>,
        b: Matrix<'_>,
        c: (&Tensor, usize),
        add: bool,
    ) -> Result<()> {
        self.multiply_batch(
            sizes,
            a,
            b,
            c,
            add,
            Batch {
                count: 1,
                steps: [0; 3],
            },
        )
    }

    /// `c = a b (+ c)` by columns: a (m, k), b (k, n), c (m, n), where a turned matrix lies by rows. Sums are f32.
    fn multiply_batch(
        &self,
        (m, n, k): (usize, usize, usize),
        a: Matrix<'_>,
        b: Matrix<'_>,
        (c, stride): (&Tensor, usize),
        add: bool,
        batch: Batch,
    ) -> Result<()> {
        let (one, beta) = (1f32, if add { 1f32 } else { 0f32 });
        let cublas = self.cuda.cublas_handle();
        // Sizes and strides come from the shapes of tensors that are alive here.
        let product = || unsafe {
            cublas::gemm_strided_batched_ex(
                *cublas.handle(),
                a.operation(),
                b.operation(),
                m as i32,
                n as i32,
                k as i32,
                (&raw const one).cast(),
                pointer(a.tensor)?,
                kind(a.tensor)?,
                a.stride as i32,
                batch.steps[0] as i64,
                pointer(b.tensor)?,
                kind(b.tensor)?,
                b.stride as i32,
                batch.steps[1] as i64,
                (&raw const beta).cast(),
                pointer(c)?.cast_mut(),
                kind(c)?,
                stride as i32,
                batch.steps[2] as i64,
                batch.count as i32,
                blas::cublasComputeType_t::CUBLAS_COMPUTE_32F,
                blas::cublasGemmAlgo_t::CUBLAS_GEMM_DEFAULT,
            )
            .w()
        };
        let name = || format!("product {m} x {n} x {k} of {}", batch.count);
        measured(&self.stream, name, product)
    }
}

/// Products of the same sizes at once.
#[derive(Debug, Clone, Copy)]
struct Batch {
    count: usize,
    /// Values from one a, b and c to the next.
    steps: [usize; 3],
}

impl<'a> Matrix<'a> {
    fn new(tensor: &'a Tensor, turned: bool, stride: usize) -> Self {
        Self {
            tensor,
            turned,
            stride,
        }
    }

    fn operation(&self) -> blas::cublasOperation_t {
        match self.turned {
            true => blas::cublasOperation_t::CUBLAS_OP_T,
            false => blas::cublasOperation_t::CUBLAS_OP_N,
        }
    }
}

fn pointer(x: &Tensor) -> Result<*const std::ffi::c_void> {
    match at(x)? {
        Arg::At(address) => Ok(address as *const _),
        _ => bail!("an address is expected"),
    }
}

fn kind(x: &Tensor) -> Result<blas::cudaDataType> {
    match x.dtype() {
        DType::F32 => Ok(blas::cudaDataType::CUDA_R_32F),
        DType::BF16 => Ok(blas::cudaDataType::CUDA_R_16BF),
        other => bail!("matrices of type {other:?} on a GPU, accepted: f32 and bf16"),
    }
}
