import Foundation

@testable import MobileSeg

/// A ZIP archive of stored members, its offsets counted from `base`.
func archive(_ members: [(String, String)], base: Int = 0, method: Int = 0, comment: String = "") -> Data {
  var (files, directory) = (Data(), Data())
  for (name, text) in members {
    let (title, body) = (Data(name.utf8), Data(text.utf8))
    let sizes = [crc32(body), UInt32(body.count), UInt32(body.count)].map(bytes)
    let common = [bytes(UInt16(0)), bytes(UInt16(method)), bytes(UInt32(0))] + sizes + [bytes(UInt16(title.count))]
    directory += join([bytes(UInt32(0x0201_4b50)), bytes(UInt32(20))] + common)
    directory += join([Data(count: 12), bytes(UInt32(base + files.count)), title])
    files += join([bytes(UInt32(0x0403_4b50)), bytes(UInt16(20))] + common)
    files += join([Data(count: 2), title, body])
  }
  let counts = [bytes(UInt16(members.count)), bytes(UInt16(members.count))]
  let places = [bytes(UInt32(directory.count)), bytes(UInt32(base + files.count)), bytes(UInt16(comment.utf8.count))]
  let end = join([bytes(UInt32(0x0605_4b50)), Data(count: 4)] + counts + places)
  return join([files, directory, end, Data(comment.utf8)])
}

private func bytes<Number: FixedWidthInteger>(_ value: Number) -> Data {
  withUnsafeBytes(of: value.littleEndian) { Data($0) }
}

private func join(_ parts: [Data]) -> Data {
  Data(parts.joined())
}
