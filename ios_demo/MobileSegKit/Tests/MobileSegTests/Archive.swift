import Foundation

@testable import MobileSeg

/// A ZIP archive of stored members, its offsets counted from `base`.
func archive(_ members: [(String, String)], base: Int = 0, method: Int = 0, comment: String = "") -> Data {
  var (files, directory) = (Data(), Data())
  for (name, text) in members {
    let (title, body) = (Data(name.utf8), Data(text.utf8))
    let common =
      half(0) + half(method) + word(0) + word(Int(crc32(body))) + word(body.count) + word(body.count)
      + half(title.count) + half(0)
    directory += word(0x0201_4b50) + half(20) + half(20) + common + half(0) + half(0) + half(0) + word(0)
    directory += word(base + files.count) + title
    files += word(0x0403_4b50) + half(20) + common + title + body
  }
  let end =
    word(0x0605_4b50) + word(0) + half(members.count) + half(members.count) + word(directory.count)
    + word(base + files.count) + half(comment.utf8.count)
  return files + directory + end + Data(comment.utf8)
}

private func half(_ value: Int) -> Data {
  withUnsafeBytes(of: UInt16(value).littleEndian) { Data($0) }
}

private func word(_ value: Int) -> Data {
  withUnsafeBytes(of: UInt32(value).littleEndian) { Data($0) }
}
