/**
 * @file Number formats of weights, and their way back to f32. The block layouts are ggml's (ggml-common.h); every result is
 * the f32 nearest to the exact value of scale * quant + offset, which is also what ggml computes.
 */

/** How numbers are stored: blocks of `elements` numbers in `bytes` bytes. Without `decode` only the size is known. */
export interface NumberFormat {
  elements: number;
  bytes: number;
  decode?: (bytes: Uint8Array, out: Float32Array) => void;
}

/** Decodes whole blocks into `out`, which has room for exactly as many elements. `bytes` must start at an offset that is a multiple of 8. */
export function decode(format: NumberFormat, bytes: Uint8Array, out: Float32Array): void {
  if (!format.decode || bytes.length % format.bytes !== 0 || out.length !== (bytes.length / format.bytes) * format.elements)
    throw new RangeError(`${bytes.length} bytes do not decode into ${out.length} elements`);
  format.decode(bytes, out);
}

const half = new Float32Array(1 << 16);
for (let bits = 0; bits < half.length; bits++) half[bits] = minifloat(bits, 5, 10);

/** Value of an IEEE-like small float: sign, exponent and mantissa bits, the top exponent for infinity and NaN. */
function minifloat(bits: number, exponentBits: number, mantissaBits: number): number {
  const sign = (bits >> (exponentBits + mantissaBits)) & 1 ? -1 : 1;
  const top = (1 << exponentBits) - 1;
  const exponent = (bits >> mantissaBits) & top;
  const fraction = (bits & ((1 << mantissaBits) - 1)) / (1 << mantissaBits);
  const bias = top >> 1;
  if (exponent === top) return fraction === 0 ? sign * Infinity : NaN;
  return exponent === 0 ? sign * fraction * 2 ** (1 - bias) : sign * (1 + fraction) * 2 ** (exponent - bias);
}

const e5m2 = Float32Array.from({ length: 256 }, (_, bits) => minifloat(bits, 5, 2));
/** The "fn" variant: no infinity, and only all ones is NaN. */
const e4m3 = Float32Array.from({ length: 256 }, (_, bits) => {
  if ((bits & 0x7f) === 0x7f) return NaN;
  const sign = bits & 0x80 ? -1 : 1;
  const exponent = (bits >> 3) & 15;
  const fraction = (bits & 7) / 8;
  return exponent === 0 ? sign * fraction * 2 ** -6 : sign * (1 + fraction) * 2 ** (exponent - 7);
});

/** The f16 at byte `i`. */
const f16 = (b: Uint8Array, i: number): number => half[b[i]! | (b[i + 1]! << 8)]!;

function decodeF16(b: Uint8Array, out: Float32Array): void {
  const bits = new Uint16Array(b.buffer, b.byteOffset, out.length);
  for (let i = 0; i < out.length; i++) out[i] = half[bits[i]!]!;
}

function decodeBF16(b: Uint8Array, out: Float32Array): void {
  const bits = new Uint16Array(b.buffer, b.byteOffset, out.length);
  const target = new Uint32Array(out.buffer, out.byteOffset, out.length);
  for (let i = 0; i < out.length; i++) target[i] = bits[i]! << 16;
}

/** Numbers that a typed array reads as they are. */
function plain(array: new (buffer: ArrayBufferLike, offset: number, length: number) => ArrayLike<number>, bytes: number) {
  return {
    elements: 1,
    bytes,
    decode: (b: Uint8Array, out: Float32Array) => out.set(new array(b.buffer, b.byteOffset, out.length)),
  };
}

function plain64(array: new (buffer: ArrayBufferLike, offset: number, length: number) => ArrayLike<bigint>) {
  return {
    elements: 1,
    bytes: 8,
    decode: (b: Uint8Array, out: Float32Array) => {
      const values = new array(b.buffer, b.byteOffset, out.length);
      for (let i = 0; i < out.length; i++) out[i] = Number(values[i]);
    },
  };
}

function byTable(values: Float32Array): NumberFormat {
  return {
    elements: 1,
    bytes: 1,
    decode: (b, out) => {
      for (let i = 0; i < out.length; i++) out[i] = values[b[i]!]!;
    },
  };
}

function decodeQ8_0(b: Uint8Array, out: Float32Array): void {
  for (let o = 0, i = 0; o < out.length; o += 32, i += 34) {
    const d = f16(b, i);
    for (let j = 0; j < 32; j++) out[o + j] = d * ((b[i + 2 + j]! << 24) >> 24);
  }
}

function decodeQ4_0(b: Uint8Array, out: Float32Array): void {
  for (let o = 0, i = 0; o < out.length; o += 32, i += 18) {
    const d = f16(b, i);
    for (let j = 0; j < 16; j++) {
      const q = b[i + 2 + j]!;
      out[o + j] = d * ((q & 15) - 8);
      out[o + 16 + j] = d * ((q >> 4) - 8);
    }
  }
}

function decodeQ4_1(b: Uint8Array, out: Float32Array): void {
  for (let o = 0, i = 0; o < out.length; o += 32, i += 20) {
    const d = f16(b, i);
    const m = f16(b, i + 2);
    for (let j = 0; j < 16; j++) {
      const q = b[i + 4 + j]!;
      out[o + j] = d * (q & 15) + m;
      out[o + 16 + j] = d * (q >> 4) + m;
    }
  }
}

function decodeQ5_0(b: Uint8Array, out: Float32Array): void {
  for (let o = 0, i = 0; o < out.length; o += 32, i += 22) {
    const d = f16(b, i);
    const high = b[i + 2]! | (b[i + 3]! << 8) | (b[i + 4]! << 16) | (b[i + 5]! << 24);
    for (let j = 0; j < 16; j++) {
      const q = b[i + 6 + j]!;
      out[o + j] = d * (((q & 15) | (((high >>> j) & 1) << 4)) - 16);
      out[o + 16 + j] = d * (((q >> 4) | (((high >>> (16 + j)) & 1) << 4)) - 16);
    }
  }
}

function decodeQ5_1(b: Uint8Array, out: Float32Array): void {
  for (let o = 0, i = 0; o < out.length; o += 32, i += 24) {
    const d = f16(b, i);
    const m = f16(b, i + 2);
    const high = b[i + 4]! | (b[i + 5]! << 8) | (b[i + 6]! << 16) | (b[i + 7]! << 24);
    for (let j = 0; j < 16; j++) {
      const q = b[i + 8 + j]!;
      out[o + j] = d * ((q & 15) | (((high >>> j) & 1) << 4)) + m;
      out[o + 16 + j] = d * ((q >> 4) | (((high >>> (16 + j)) & 1) << 4)) + m;
    }
  }
}

/** Six-bit scale and minimum of group `g` (0..7) among the twelve bytes at `s`. */
function scaleOf(b: Uint8Array, s: number, g: number): number {
  return g < 4 ? b[s + g]! & 63 : (b[s + 4 + g]! & 15) | ((b[s + g - 4]! >> 6) << 4);
}
function minimumOf(b: Uint8Array, s: number, g: number): number {
  return g < 4 ? b[s + 4 + g]! & 63 : (b[s + 4 + g]! >> 4) | ((b[s + g]! >> 6) << 4);
}

function decodeQ4_K(b: Uint8Array, out: Float32Array): void {
  for (let o = 0, i = 0; o < out.length; o += 256, i += 144) {
    const d = f16(b, i);
    const dmin = f16(b, i + 2);
    for (let g = 0; g < 8; g++) {
      const scale = d * scaleOf(b, i + 4, g);
      const minimum = dmin * minimumOf(b, i + 4, g);
      const quants = i + 16 + (g >> 1) * 32;
      const shift = (g & 1) * 4;
      for (let j = 0; j < 32; j++) out[o + g * 32 + j] = scale * ((b[quants + j]! >> shift) & 15) - minimum;
    }
  }
}

function decodeQ5_K(b: Uint8Array, out: Float32Array): void {
  for (let o = 0, i = 0; o < out.length; o += 256, i += 176) {
    const d = f16(b, i);
    const dmin = f16(b, i + 2);
    for (let g = 0; g < 8; g++) {
      const scale = d * scaleOf(b, i + 4, g);
      const minimum = dmin * minimumOf(b, i + 4, g);
      const quants = i + 48 + (g >> 1) * 32;
      const shift = (g & 1) * 4;
      for (let j = 0; j < 32; j++) {
        const q = ((b[quants + j]! >> shift) & 15) | (((b[i + 16 + j]! >> g) & 1) << 4);
        out[o + g * 32 + j] = scale * q - minimum;
      }
    }
  }
}

function decodeQ6_K(b: Uint8Array, out: Float32Array): void {
  for (let o = 0, i = 0; o < out.length; o += 256, i += 210) {
    const d = f16(b, i + 208);
    for (let g = 0; g < 8; g++) {
      const low = i + (g >> 2) * 64 + (g & 1) * 32;
      const lowShift = (g & 2) * 2;
      const high = i + 128 + (g >> 2) * 32;
      const highShift = (g & 3) * 2;
      for (let j = 0; j < 32; j++) {
        const scale = d * ((b[i + 192 + g * 2 + (j >> 4)]! << 24) >> 24);
        const q = ((b[low + j]! >> lowShift) & 15) | (((b[high + j]! >> highShift) & 3) << 4);
        out[o + g * 32 + j] = scale * (q - 32);
      }
    }
  }
}

/** By the names that GGUF and safetensors give them. */
export const NUMBER_FORMATS: Readonly<Record<string, NumberFormat>> = {
  F64: plain(Float64Array, 8),
  F32: plain(Float32Array, 4),
  F16: { elements: 1, bytes: 2, decode: decodeF16 },
  BF16: { elements: 1, bytes: 2, decode: decodeBF16 },
  F8_E4M3: byTable(e4m3),
  F8_E5M2: byTable(e5m2),
  I64: plain64(BigInt64Array),
  I32: plain(Int32Array, 4),
  I16: plain(Int16Array, 2),
  I8: plain(Int8Array, 1),
  U64: plain64(BigUint64Array),
  U32: plain(Uint32Array, 4),
  U16: plain(Uint16Array, 2),
  U8: plain(Uint8Array, 1),
  BOOL: plain(Uint8Array, 1),
  Q4_0: { elements: 32, bytes: 18, decode: decodeQ4_0 },
  Q4_1: { elements: 32, bytes: 20, decode: decodeQ4_1 },
  Q5_0: { elements: 32, bytes: 22, decode: decodeQ5_0 },
  Q5_1: { elements: 32, bytes: 24, decode: decodeQ5_1 },
  Q8_0: { elements: 32, bytes: 34, decode: decodeQ8_0 },
  Q4_K: { elements: 256, bytes: 144, decode: decodeQ4_K },
  Q5_K: { elements: 256, bytes: 176, decode: decodeQ5_K },
  Q6_K: { elements: 256, bytes: 210, decode: decodeQ6_K },
  Q2_K: { elements: 256, bytes: 84 },
  Q3_K: { elements: 256, bytes: 110 },
  IQ2_XXS: { elements: 256, bytes: 66 },
  IQ2_XS: { elements: 256, bytes: 74 },
  IQ3_XXS: { elements: 256, bytes: 98 },
  IQ1_S: { elements: 256, bytes: 50 },
  IQ4_NL: { elements: 32, bytes: 18 },
  IQ3_S: { elements: 256, bytes: 110 },
  IQ2_S: { elements: 256, bytes: 82 },
  IQ4_XS: { elements: 256, bytes: 136 },
  IQ1_M: { elements: 256, bytes: 56 },
  TQ1_0: { elements: 256, bytes: 54 },
  TQ2_0: { elements: 256, bytes: 66 },
  MXFP4: { elements: 32, bytes: 17 },
  NVFP4: { elements: 64, bytes: 36 },
  Q1_0: { elements: 128, bytes: 18 },
};
