//! Matrix products by cuBLAS.
#![allow(unsafe_code, reason = "cuBLAS takes addresses; see the module above")]

use candle_core::cuda_backend::WrapErr;
use candle_core::cuda_backend::cudarc::cublas::{result as cublas, sys as blas};
use candle_core::{DType, Result, Tensor, bail};

use super::profile::measured;
use super::{Arg, Gpu, at};

/// Which matrices are multiplied: x (rows, input), weight (out, input), y (rows, out).
#[derive(Debug, Clone, Copy)]
pub(in crate::cuda) struct Sizes {
    pub(in crate::cuda) rows: usize,
    pub(in crate::cuda) out: usize,
    pub(in crate::cuda) input: usize,
    /// How far the rows of y lie apart, at least `out`.
    pub(in crate::cuda) stride: usize,
}

/// A matrix as cuBLAS takes it: by columns.
struct Matrix<'a> {
    tensor: &'a Tensor,
    turned: bool,
    stride: usize,
}

impl Gpu {
    /// `y = x weightᵀ`, of the type of x.
    pub(in crate::cuda) fn product(&self, sizes: Sizes, x: &Tensor, weight: &Tensor) -> Result<Tensor> {
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
    pub(in crate::cuda) fn input_gradient(
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
    pub(in crate::cuda) fn weight_gradient(
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

    /// `c = a b (+ c)` by columns: a (m, k), b (k, n), c (m, n), where a turned matrix lies by rows. Sums are f32.
    fn multiply(
        &self,
        (m, n, k): (usize, usize, usize),
        a: Matrix<'_>,
        b: Matrix<'_>,
        (c, stride): (&Tensor, usize),
        add: bool,
    ) -> Result<()> {
        let (one, beta) = (1f32, if add { 1f32 } else { 0f32 });
        let cublas = self.cuda.cublas_handle();
        // SAFETY: sizes and strides come from the shapes of tensors that are alive here.
        let product = || unsafe {
            cublas::gemm_ex(
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
                pointer(b.tensor)?,
                kind(b.tensor)?,
                b.stride as i32,
                (&raw const beta).cast(),
                pointer(c)?.cast_mut(),
                kind(c)?,
                stride as i32,
                blas::cublasComputeType_t::CUBLAS_COMPUTE_32F,
                blas::cublasGemmAlgo_t::CUBLAS_GEMM_DEFAULT,
            )
            .w()
        };
        let name = || format!("product {m} x {n} x {k}");
        measured(&self.stream, name, product)
    }
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
