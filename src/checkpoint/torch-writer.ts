/** @file Writer of what torch.load reads: plain data and tensors of fp32 vectors, with no code in them. */
import { crc32 } from 'node:zlib';
import { writeFileAtomic } from '../artifact/files.js';

/** Plain data; an array of numbers is a tensor of one dimension. */
export type TorchValue = string | number | null | Float32Array | { readonly [key: string]: TorchValue };

/**
 * Writes a file of torch.save (the zip that torch 1.6 and later read, a pickle of protocol 2 in it).
 * @throws MoralscopeError `disk`
 */
export async function writeTorchFile(path: string, value: TorchValue): Promise<void> {
  const { pickle, storages } = pickled(value);
  const bytesOf = ({ buffer, byteOffset, byteLength }: Float32Array) => new Uint8Array(buffer, byteOffset, byteLength);
  const members: [name: string, content: Uint8Array][] = [
    ['data.pkl', pickle],
    ['byteorder', Buffer.from('little')],
    ...storages.map((storage, i): [string, Uint8Array] => [`data/${i}`, bytesOf(storage)]),
    ['version', Buffer.from('3\n')],
  ];
  await writeFileAtomic(path, storedZip(members.map(([name, content]) => [`archive/${name}`, content])));
}

/** A pickle of the value, which says of each tensor only in which storage its numbers are. */
function pickled(value: TorchValue): { pickle: Uint8Array; storages: Float32Array[] } {
  const storages: Float32Array[] = [];
  const parts: Uint8Array[] = [];
  const code = (text: string) => parts.push(Buffer.from(text, 'latin1'));
  const integer = (number: number) => {
    code('J');
    parts.push(new Uint8Array(Int32Array.of(number).buffer));
  };
  const text = (content: string) => {
    const bytes = Buffer.from(content);
    code('X');
    parts.push(new Uint8Array(Uint32Array.of(bytes.length).buffer), bytes);
  };
  const number = (content: number) => {
    const bytes = Buffer.alloc(8);
    bytes.writeDoubleBE(content);
    code('G');
    parts.push(bytes);
  };
  const tensor = (numbers: Float32Array) => {
    code('ctorch._utils\n_rebuild_tensor_v2\n((');
    text('storage');
    code('ctorch\nFloatStorage\n');
    text(String(storages.push(numbers) - 1));
    text('cpu');
    integer(numbers.length);
    code('tQ');
    // From the storage's first number, [length] with a stride of 1, without a gradient and hooks.
    integer(0);
    integer(numbers.length);
    code('\x85');
    integer(1);
    code('\x85\x89ccollections\nOrderedDict\n)RtR');
  };
  const write = (content: TorchValue) => {
    if (content === null) code('N');
    else if (typeof content === 'string') text(content);
    else if (typeof content === 'number') number(content);
    else if (content instanceof Float32Array) tensor(content);
    else {
      code('}(');
      for (const [key, item] of Object.entries(content)) {
        text(key);
        write(item);
      }
      code('u');
    }
  };
  code('\x80\x02');
  write(value);
  code('.');
  return { pickle: Buffer.concat(parts), storages };
}

/** A zip whose members are not compressed. */
function storedZip(members: readonly (readonly [name: string, content: Uint8Array])[]): Uint8Array {
  const parts: Uint8Array[] = [];
  const directory: Uint8Array[] = [];
  let offset = 0;
  for (const [name, content] of members) {
    const path = Buffer.from(name);
    const fields = Buffer.alloc(26);
    fields.writeUInt16LE(20, 0);
    fields.writeUInt32LE(crc32(content), 10);
    fields.writeUInt32LE(content.length, 14);
    fields.writeUInt32LE(content.length, 18);
    fields.writeUInt16LE(path.length, 22);
    parts.push(Buffer.from('PK\x03\x04', 'latin1'), fields, path, content);
    const tail = Buffer.alloc(14);
    tail.writeUInt32LE(offset, 10);
    directory.push(Buffer.from('PK\x01\x02\x14\x00', 'latin1'), fields, tail, path);
    offset += 30 + path.length + content.length;
  }
  const listed = Buffer.concat(directory);
  const end = Buffer.alloc(22);
  end.write('PK\x05\x06', 'latin1');
  end.writeUInt16LE(members.length, 8);
  end.writeUInt16LE(members.length, 10);
  end.writeUInt32LE(listed.length, 12);
  end.writeUInt32LE(offset, 16);
  return Buffer.concat([...parts, listed, end]);
}
