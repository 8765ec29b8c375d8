import { writeFileAtomic } from '../artifact/files.js';

/** Where tensors begin in a file: at multiples of so many bytes. */
const ALIGNMENT = 32;
const [UINT32, STRING, F32] = [4, 8, 0];

/**
 * Writes a GGUF file (version 3) of fp32 vectors.
 * @param metadata texts, and whole numbers below 2^32
 * @throws MoralscopeError `disk`
 */
export async function writeGgufVectors(
  path: string,
  metadata: Readonly<Record<string, string | number>>,
  vectors: Readonly<Record<string, Float32Array>>,
): Promise<void> {
  await writeFileAtomic(path, ggufBytes(metadata, vectors));
}

function ggufBytes(metadata: Readonly<Record<string, string | number>>, vectors: Readonly<Record<string, Float32Array>>) {
  const parts: Uint8Array[] = [];
  const u32 = (value: number) => parts.push(new Uint8Array(Uint32Array.of(value).buffer));
  const u64 = (value: number) => parts.push(new Uint8Array(BigUint64Array.of(BigInt(value)).buffer));
  const text = (value: string) => {
    const bytes = Buffer.from(value);
    u64(bytes.length);
    parts.push(bytes);
  };
  const align = () => {
    const length = parts.reduce((sum, part) => sum + part.length, 0);
    parts.push(new Uint8Array(-length & (ALIGNMENT - 1)));
  };
  parts.push(Buffer.from('GGUF'));
  u32(3);
  u64(Object.keys(vectors).length);
  u64(Object.keys(metadata).length);
  for (const [key, value] of Object.entries(metadata)) {
    text(key);
    u32(typeof value === 'string' ? STRING : UINT32);
    if (typeof value === 'string') text(value);
    else u32(value);
  }
  let offset = 0;
  for (const [name, { length, byteLength }] of Object.entries(vectors)) {
    text(name);
    u32(1);
    u64(length);
    u32(F32);
    u64(offset);
    offset += Math.ceil(byteLength / ALIGNMENT) * ALIGNMENT;
  }
  align();
  for (const { buffer, byteOffset, byteLength } of Object.values(vectors)) {
    parts.push(new Uint8Array(buffer, byteOffset, byteLength));
    parts.push(new Uint8Array(-byteLength & (ALIGNMENT - 1)));
  }
  return Buffer.concat(parts);
}
