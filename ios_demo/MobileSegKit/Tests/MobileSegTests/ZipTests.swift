import Foundation
import Testing

@testable import MobileSeg

struct ZipTests {
  static let members = [("labels.txt", "road\nsky\n"), ("mobile_seg.json", "{\"a\": \"é\"}")]

  @Test func crcHasItsKnownValue() {
    #expect(crc32(Data("123456789".utf8)) == 0xcbf4_3926)
  }

  @Test(arguments: [("", 0), ("model bytes", 11), ("model bytes", 0)], ["", "no comment"])
  func membersAreRead(_ before: (String, Int), _ comment: String) throws {
    let bytes = Data(before.0.utf8) + archive(Self.members, base: before.1, comment: comment)
    let zip = try #require(Zip(bytes))
    for (name, text) in Self.members { #expect(try zip.member(name) == Data(text.utf8)) }
    #expect(try zip.member("other") == nil)
  }

  @Test func aPartOfLargerDataIsRead() throws {
    let bytes = (Data("before".utf8) + archive(Self.members)).dropFirst(6)
    #expect(try Zip(bytes)?.member("labels.txt") == Data("road\nsky\n".utf8))
  }

  @Test(arguments: [0, 4, 21, 22, 5000])
  func whatIsNoArchiveHasNoMembers(_ size: Int) {
    #expect(Zip(Data(count: size)) == nil)
  }

  @Test func packedMembersAreRefused() throws {
    let zip = try #require(Zip(archive(Self.members, method: 8)))
    #expect(message { _ = try zip.member("labels.txt") }.contains("packed by method 8"))
  }

  @Test func everySingleWrongByteIsFoundOrHarmless() throws {
    let sound = archive([("a.json", "{\"key\": \"value\"}")])
    for at in sound.indices {
      var bytes = sound
      bytes[at] ^= 0x55
      var found: Data?
      let said = message { found = try Zip(bytes)?.member("a.json") }
      #expect(found == nil || found == Data("{\"key\": \"value\"}".utf8), "byte \(at)")
      #expect(said.isEmpty || said.contains("damaged"), "byte \(at): \(said)")
    }
  }
}
