package dev.mobileseg.core

import org.junit.Assert.assertArrayEquals
import org.junit.Assert.assertNull
import org.junit.Assert.assertTrue
import org.junit.Test
import java.io.ByteArrayOutputStream
import java.nio.ByteBuffer
import java.util.zip.ZipEntry
import java.util.zip.ZipOutputStream

class ZipTest {
    private val content = ByteArray(5000) { (it % 7).toByte() }

    private fun packed(
        before: Int = 100,
        comment: String = "",
    ): ByteArray {
        val archive = ByteArrayOutputStream()
        ZipOutputStream(archive).use { zip ->
            for ((name, bytes) in listOf("other" to ByteArray(10), "wanted" to content)) {
                zip.putNextEntry(ZipEntry(name))
                zip.write(bytes)
            }
            zip.setComment(comment)
        }
        return ByteArray(before) + archive.toByteArray()
    }

    private fun read(
        bytes: ByteArray,
        name: String = "wanted",
    ) = readMember(ByteBuffer.wrap(bytes), name)

    @Test
    fun `a member is found behind other bytes`() {
        for (before in listOf(0, 1, 100_000)) assertArrayEquals(content, read(packed(before)))
        assertArrayEquals(content, read(packed(comment = "a comment")))
        assertArrayEquals(ByteArray(10), read(packed(), "other"))
    }

    @Test
    fun `no archive or no such member is nothing`() {
        assertNull(read(ByteArray(0)))
        assertNull(read(ByteArray(70_000)))
        assertNull(read(packed(), "another"))
    }

    @Test
    fun `damage is said, wherever it is`() {
        val sound = packed()
        var said = 0
        for (at in 100 until sound.size) {
            val broken = sound.clone().also { it[at] = (it[at].toInt() xor 0xff).toByte() }
            // Elsewhere it does no harm to this member, or no archive is seen any more; but nothing wrong is read.
            try {
                read(broken)?.let { assertArrayEquals("byte $at", content, it) }
            } catch (error: DemoError) {
                assertTrue(error.message, "holds wanted, but damaged" in error.message.orEmpty())
                said++
            }
        }
        assertTrue("$said", said > 20)
    }
}
