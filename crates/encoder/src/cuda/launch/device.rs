//! Opening a GPU, and its memory.
#![allow(unsafe_code, reason = "the memory pool is the driver's")]

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex};

use candle_core::cuda_backend::cudarc::driver::{CudaStream, result as driver, sys};
use candle_core::cuda_backend::{DeviceId, WrapErr};
use candle_core::{DType, Device, Result, bail};

use super::lock;

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
    // SAFETY: all work of this device goes to one stream, in order, so no event has to guard a buffer.
    unsafe { cuda.disable_event_tracking() };
    let pool = pool(&stream)?;
    let mut keep = u64::MAX;
    // Freed memory stays with the program: returning it to the driver at every synchronization costs milliseconds.
    // SAFETY: the attribute is a count of 64 bits, which `keep` is; it is read during the call alone.
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
    // SAFETY: the device is the stream's own, so it is a sound one.
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
        // SAFETY: both attributes are counts of 64 bits.
        unsafe { driver::mem_pool::get_attribute(pool, attribute, (&raw mut value).cast()) }.w()?;
        Ok::<u64, candle_core::Error>(value)
    };
    Ok(Memory {
        used: read(sys::CUmemPool_attribute::CU_MEMPOOL_ATTR_USED_MEM_CURRENT)?,
        peak: read(sys::CUmemPool_attribute::CU_MEMPOOL_ATTR_USED_MEM_HIGH)?,
    })
}

/// The model of a GPU, as its driver names it.
///
/// # Errors
/// When the device is no GPU or its driver refuses.
pub fn name(device: &Device) -> Result<String> {
    device.as_cuda_device()?.cuda_stream().context().name().w()
}

/// Waits until the device has done what it was told.
///
/// # Errors
/// When a kernel failed.
pub fn synchronize(device: &Device) -> Result<()> {
    device.synchronize()
}

/// How a device computes; a device that was not opened here computes in bf16.
pub(crate) fn settings(device: &Device) -> Result<Settings> {
    let id = device.as_cuda_device()?.id();
    Ok(lock(&OPENED).get(&id).copied().unwrap_or_default())
}
