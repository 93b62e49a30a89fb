package dev.mobileseg.core

import org.json.JSONObject
import org.junit.Assert.assertEquals
import org.junit.Assert.assertTrue
import org.junit.Test

class ManifestTest {
    private val file = Golden.cases.first().model
    private val sound = String(requireNotNull(readMember(map(file), MEMBER)), Charsets.UTF_8)

    private fun refused(change: JSONObject.() -> Unit) =
        messageOf { parseManifest(JSONObject(sound).apply(change).toString(), "m.tflite") }

    private fun JSONObject.output() = getJSONObject("output")

    private fun JSONObject.input() = getJSONObject("input")

    @Test
    fun `it is read as it was written`() {
        val found = readManifest(map(file), file.name)
        val written = JSONObject(sound)
        assertEquals(written.getJSONArray("classes").toList(), found.classes)
        assertEquals(written.getJSONObject("input").getInt("width"), found.input.width)
        val (red, green, blue) = List(3) { written.getJSONArray("palette").getJSONArray(1).getInt(it) }
        assertEquals((red shl 16) + (green shl 8) + blue, found.palette[1])
    }

    @Test
    fun `a newer format says to update the app`() {
        val message = refused { put("format_version", FORMAT_VERSION + 1) }
        assertTrue(message, "has format 2, this app reads 1" in message && "Update the app" in message)
    }

    @Test
    fun `what the app cannot follow is named`() {
        val expected =
            mapOf<String, JSONObject.() -> Unit>(
                "format 0" to { put("format_version", 0) },
                "its task is panoptic" to { put("task", "panoptic") },
                "2 colours" to { getJSONArray("palette").let { while (it.length() > 2) it.remove(2) } },
                "a colour is not three bytes" to { getJSONArray("palette").getJSONArray(0).put(0, 256) },
                "it has no input size" to { input().put("height", 0) },
                "it has no output size" to { output().put("width", -1) },
                "input dtype float16" to { input().put("dtype", "float16") },
                "output kind depth" to { output().put("kind", "depth") },
                "output dtype int16" to { output().put("dtype", "int16") },
                "resize crop" to { input().put("resize", "crop") },
                "output layout nchw" to { output().put("layout", "nchw") },
                "int8 input of normalized values" to { input().put("dtype", "int8").put("normalized_outside", true) },
                "divides by std 0" to {
                    input().put("dtype", "float32").put("normalized_outside", true).put("std", 0)
                },
                "classes" to { remove("classes") },
            )
        for ((says, change) in expected) {
            val message = refused(change)
            assertTrue("$says: $message", says in message && "Export the model again" in message)
        }
    }

    @Test
    fun `text that is no JSON says so`() {
        assertTrue("is not JSON" in messageOf { parseManifest("{", "m.tflite") })
    }

    @Test
    fun `an unexpected error is told with its text`() {
        assertTrue("Unexpected: boom." in describe(IllegalStateException("boom")))
        assertTrue("NullPointerException" in describe(NullPointerException()))
    }
}
