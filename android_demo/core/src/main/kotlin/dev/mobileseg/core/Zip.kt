package dev.mobileseg.core

import java.io.ByteArrayInputStream
import java.io.IOException
import java.nio.ByteBuffer
import java.nio.ByteOrder
import java.util.zip.ZipInputStream

private const val END = 0x06054b50
private const val CENTRAL = 0x02014b50
private const val LOCAL = 0x04034b50
private const val END_SIZE = 22
private const val CENTRAL_SIZE = 46
private const val LONGEST_COMMENT = 0xffff
private const val LARGEST_MEMBER = 16 shl 20
private const val U16 = 0xffff

/**
 * Reads one member of a ZIP archive that stands at the end of a file, as in a TFLite file with metadata.
 *
 * `java.util.zip` unpacks; only where the member lies is found here, since `ZipFile` takes no bytes in memory.
 * Format: PKWARE APPNOTE 6.3.9, sections 4.3.12 (central directory) and 4.3.16 (end record).
 *
 * @return its content; null if there is no archive, or no such member in it
 * @throws DemoError if there is one, but damaged
 */
fun readMember(
    file: ByteBuffer,
    name: String,
): ByteArray? {
    val bytes = file.duplicate().order(ByteOrder.LITTLE_ENDIAN)
    bytes.position(0)
    val end = endRecord(bytes)
    if (end < 0) return null
    return try {
        findLocal(bytes, end, name)?.let { local -> unpack(bytes, local, name) }
    } catch (error: IndexOutOfBoundsException) {
        throw damaged(name, "it is cut short", error)
    } catch (error: IllegalArgumentException) {
        throw damaged(name, "it is cut short", error)
    } catch (error: IOException) {
        throw damaged(name, reasonOf(error), error)
    }
}

private fun endRecord(bytes: ByteBuffer): Int {
    val last = bytes.limit() - END_SIZE
    val first = maxOf(0, last - LONGEST_COMMENT)
    return (last downTo first).firstOrNull { at ->
        bytes.getInt(at) == END && at + END_SIZE + bytes.u16(at + 20) <= bytes.limit()
    } ?: -1
}

private fun findLocal(
    bytes: ByteBuffer,
    end: Int,
    name: String,
): Int? {
    val size = bytes.getInt(end + 12)
    // What stands before the archive may or may not be counted in its offsets; this difference says.
    val shift = end - size - bytes.getInt(end + 16)
    var at = end - size
    repeat(bytes.u16(end + 10)) {
        if (bytes.getInt(at) != CENTRAL) throw damaged(name, "its directory is cut")
        val length = bytes.u16(at + 28)
        if (text(bytes, at + CENTRAL_SIZE, length) == name) {
            if (bytes.getInt(at + 24) !in 0..LARGEST_MEMBER) {
                throw damaged(name, "it claims ${bytes.getInt(at + 24)} bytes")
            }
            return bytes.getInt(at + 42) + shift
        }
        at += CENTRAL_SIZE + length + bytes.u16(at + 30) + bytes.u16(at + 32)
    }
    return null
}

/** Inflates what starts at `local` and checks its checksum. */
private fun unpack(
    bytes: ByteBuffer,
    local: Int,
    name: String,
): ByteArray {
    if (bytes.getInt(local) != LOCAL) throw damaged(name, "its header is missing")
    val rest = ByteArray(bytes.limit() - local)
    bytes.position(local)
    bytes.get(rest)
    return ZipInputStream(ByteArrayInputStream(rest)).use { stream ->
        if (stream.nextEntry?.name != name) throw damaged(name, "its header names another file")
        val content = stream.readBytes()
        stream.closeEntry()
        content
    }
}

private fun text(
    bytes: ByteBuffer,
    at: Int,
    length: Int,
): String {
    val found = ByteArray(length) { offset -> bytes.get(at + offset) }
    return String(found, Charsets.UTF_8)
}

private fun ByteBuffer.u16(at: Int): Int = getShort(at).toInt() and U16

private fun damaged(
    name: String,
    why: String,
    cause: Throwable? = null,
) = DemoError("This file holds $name, but damaged: $why. Copy the file again, or export the model again.", cause)
