//! Ranks that are processes, each with a GPU of its own; NCCL adds up what they have.

use candle_core::cuda_backend::cudarc::nccl::{Comm, Id, ReduceOp, result::NcclError, safe::NcclType};
use candle_core::cuda_backend::{
    CudaDType, CudaStorage, cudarc::driver::DeviceRepr, cudarc::driver::ValidAsZeroBits,
};
use candle_core::{
    CpuStorage, CustomOp1, DType, Device, Layout, Result as TensorResult, Shape, Tensor,
    backend::BackendStorage,
};

use super::{AllReduce, Task};
use crate::error::{Error, Result};

/// Bytes of the name of a meeting.
const ID_BYTES: usize = 128;

/// One rank of several that met. When one of them ends early, the others wait for it: whoever started them has to
/// end them.
pub struct Nccl {
    comm: Comm,
    device: Device,
}

impl Nccl {
    /// The name of a new meeting of ranks, in hexadecimal digits. Every rank is told it; the process that makes it
    /// has to live as long as they do.
    ///
    /// # Errors
    /// When NCCL finds no network interface.
    pub fn meeting() -> Result<String> {
        let id = Id::new().map_err(failed("naming a meeting"))?;
        Ok(id
            .internal()
            .iter()
            .map(|byte| format!("{:02x}", *byte as u8))
            .collect())
    }

    /// Waits for all ranks of a meeting; adds up on the device of the task's variables.
    ///
    /// # Errors
    /// A name that is none, a device that is no GPU, and what keeps ranks apart.
    pub fn join(meeting: &str, rank: usize, world: usize, task: &impl Task) -> Result<Self> {
        let refuse = || Error::Setting {
            field: "meeting",
            value: meeting.to_owned(),
            accepted: format!("{} hexadecimal digits", 2 * ID_BYTES),
        };
        let digits = |at: usize| {
            meeting
                .get(2 * at..2 * at + 2)
                .and_then(|byte| u8::from_str_radix(byte, 16).ok())
        };
        let mut id = [0; ID_BYTES];
        for (at, byte) in id.iter_mut().enumerate() {
            *byte = digits(at).ok_or_else(refuse)? as _;
        }
        let variables = task.variables();
        let device = variables
            .first()
            .map_or(Device::Cpu, |(_, var)| var.device().clone());
        if !device.is_cuda() {
            return Err(Error::Setting {
                field: "compute.device",
                value: "cpu".into(),
                accepted: "cuda, where several GPUs train".into(),
            });
        }
        let stream = device.as_cuda_device()?.cuda_stream();
        let comm = Comm::from_rank(stream, rank, world, Id::uninit(id))
            .map_err(failed("meeting the other ranks"))?;
        Ok(Self { comm, device })
    }
}

impl AllReduce for Nccl {
    fn rank(&self) -> usize {
        self.comm.rank()
    }

    fn world(&self) -> usize {
        self.comm.world_size()
    }

    fn sum(&self, tensors: Vec<Tensor>) -> Result<Vec<Tensor>> {
        let sum = |tensor: &Tensor| {
            let here = tensor.to_device(&self.device)?.contiguous()?;
            here.apply_op1_no_bwd(&Sum(&self.comm))?
                .to_device(tensor.device())
        };
        Ok(tensors.iter().map(sum).collect::<TensorResult<_>>()?)
    }
}

/// What NCCL was doing when it failed; of its errors it tells the number.
fn failed(doing: &'static str) -> impl Fn(NcclError) -> Error {
    move |NcclError(code)| Error::Ranks(format!("{doing}: {code:?} (NCCL_DEBUG=INFO makes it say more)"))
}

/// The sum over all ranks of a tensor that is contiguous.
struct Sum<'a>(&'a Comm);

impl Sum<'_> {
    fn of<T>(&self, storage: &CudaStorage, layout: &Layout) -> TensorResult<CudaStorage>
    where
        T: CudaDType + NcclType + DeviceRepr + ValidAsZeroBits,
    {
        let device = storage.device();
        let Some((start, end)) = layout.contiguous_offsets() else {
            candle_core::bail!("a tensor with gaps cannot be added up over ranks");
        };
        let own = storage.as_cuda_slice::<T>()?.slice(start..end);
        let mut sum = device.alloc_zeros::<T>(end - start)?;
        let done = self.0.all_reduce(&own, &mut sum, &ReduceOp::Sum);
        done.map_err(|error| candle_core::Error::wrap(failed("adding up")(error)))?;
        Ok(CudaStorage::wrap_cuda_slice(sum, device.clone()))
    }
}

impl CustomOp1 for Sum<'_> {
    fn name(&self) -> &'static str {
        "sum over ranks"
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout) -> TensorResult<(CpuStorage, Shape)> {
        candle_core::bail!("only tensors on a GPU can be added up over ranks")
    }

    fn cuda_fwd(&self, storage: &CudaStorage, layout: &Layout) -> TensorResult<(CudaStorage, Shape)> {
        let sum = match storage.dtype() {
            DType::F32 => self.of::<f32>(storage, layout)?,
            DType::F64 => self.of::<f64>(storage, layout)?,
            other => candle_core::bail!("{other:?} cannot be added up over ranks, f32 and f64 can"),
        };
        Ok((sum, layout.shape().clone()))
    }
}
