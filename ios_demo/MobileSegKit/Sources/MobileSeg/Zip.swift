import Foundation

/// Reads one member of the ZIP archive that stands at the end of a `.tflite` file.
///
/// Format: PKWARE APPNOTE 6.3.9, sections 4.3.7 (local header), 4.3.12 (central directory), 4.3.16 (end record).
/// mobile-seg stores its members as they are; packed ones are refused.
struct Zip {
  private static let end: UInt32 = 0x0605_4b50
  private static let central: UInt32 = 0x0201_4b50
  private static let local: UInt32 = 0x0403_4b50
  private static let endSize = 22
  private static let longestComment = 0xffff

  private let bytes: Data
  private let directory: Int

  /// Nil if the bytes end in no archive.
  init?(_ bytes: Data) {
    // Indices from 0, whatever the data was cut from.
    self.bytes = bytes.startIndex == 0 ? bytes : Data(bytes)
    let last = bytes.count - Self.endSize
    guard last >= 0 else { return nil }
    let reader = Reader(bytes: self.bytes)
    let place = stride(from: last, through: max(0, last - Self.longestComment), by: -1).first { at in
      reader.word(at) == Self.end && at + Self.endSize + (reader.half(at + 20) ?? 0) <= bytes.count
    }
    guard let place else { return nil }
    directory = place
  }

  /// The member's content; nil if the archive has none of this name.
  ///
  /// - Throws: `DemoError` if it is damaged.
  func member(_ name: String) throws -> Data? {
    let reader = Reader(bytes: bytes)
    func sound<Value>(_ value: Value?, _ why: String) throws -> Value {
      guard let value else { throw damaged(name, why) }
      return value
    }
    let cut = "its directory is cut"
    let size = Int(try sound(reader.word(directory + 12), cut))
    // What stands before the archive may or may not be counted in its offsets; this difference says.
    let shift = directory - size - Int(try sound(reader.word(directory + 16), cut))
    var at = directory - size
    for _ in 0..<(try sound(reader.half(directory + 10), cut)) {
      guard reader.word(at) == Self.central else { throw damaged(name, cut) }
      let lengths = try [28, 30, 32].map { try sound(reader.half(at + $0), cut) }
      if try sound(reader.slice(at + 46, lengths[0]), cut) == Data(name.utf8) {
        let entry = try Entry(reader, at, shift: shift).unwrapped { damaged(name, cut) }
        return try content(entry, name, reader)
      }
      at += 46 + lengths.reduce(0, +)
    }
    return nil
  }

  private func content(_ entry: Entry, _ name: String, _ reader: Reader) throws -> Data {
    guard reader.word(entry.local) == Self.local, let title = reader.half(entry.local + 26),
      let extra = reader.half(entry.local + 28)
    else { throw damaged(name, "its header is missing") }
    guard entry.method == 0 else { throw damaged(name, "it is packed by method \(entry.method)") }
    guard let found = reader.slice(entry.local + 30 + title + extra, entry.size), crc32(found) == entry.crc else {
      throw damaged(name, "its checksum does not match")
    }
    return found
  }

  private struct Entry {
    let method, size, local: Int
    let crc: UInt32

    init?(_ reader: Reader, _ at: Int, shift: Int) {
      guard let method = reader.half(at + 10), let crc = reader.word(at + 16), let packed = reader.word(at + 20),
        let local = reader.word(at + 42)
      else { return nil }
      (self.method, self.crc, size, self.local) = (method, crc, Int(packed), Int(local) + shift)
    }
  }
}

/// Little-endian numbers; nil outside of the bytes.
private struct Reader {
  let bytes: Data

  func slice(_ at: Int, _ count: Int) -> Data? {
    guard at >= 0, count >= 0, at <= bytes.count, count <= bytes.count - at else { return nil }
    return bytes[at..<at + count]
  }

  func half(_ at: Int) -> Int? {
    slice(at, 2).map { $0.reversed().reduce(0) { $0 << 8 | Int($1) } }
  }

  func word(_ at: Int) -> UInt32? {
    slice(at, 4).map { $0.reversed().reduce(0) { $0 << 8 | UInt32($1) } }
  }
}

extension Optional {
  fileprivate func unwrapped(_ error: () -> DemoError) throws -> Wrapped {
    guard let self else { throw error() }
    return self
  }
}

private func damaged(_ name: String, _ why: String) -> DemoError {
  DemoError("This file holds \(name), but damaged: \(why). Copy the file again, or export the model again.")
}

private let table: [UInt32] = (0..<256).map { byte in
  (0..<8).reduce(UInt32(byte)) { value, _ in value & 1 == 1 ? value >> 1 ^ 0xedb8_8320 : value >> 1 }
}

/// CRC-32 as ZIP has it.
func crc32(_ bytes: Data) -> UInt32 {
  var value = UInt32.max
  for byte in bytes {
    let place = Int(UInt8(truncatingIfNeeded: value) ^ byte)
    value = value >> 8 ^ table[place]
  }
  return ~value
}
