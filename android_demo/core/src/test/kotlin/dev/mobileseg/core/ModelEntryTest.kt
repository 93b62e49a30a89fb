package dev.mobileseg.core

import org.junit.Assert.assertEquals
import org.junit.Assert.assertTrue
import org.junit.Test
import java.io.File

/** `-Dassets=FOLDER` is an app's folder of assets that `mobile-seg bundle` wrote. */
class ModelEntryTest {
    private val models = File(requireNotNull(System.getProperty("assets")), "models")

    @Test
    fun `every bundled model is listed, and named so that people can tell them apart`() {
        val entries = parseIndex(models.resolve("index.json").readText())
        assertEquals(
            models
                .listFiles { file ->
                    file.extension == "tflite"
                }.orEmpty()
                .map { it.name }
                .sorted(),
            entries.map { it.file }.sorted(),
        )
        assertEquals(entries.size, entries.map { it.label }.distinct().size)
        assertEquals("int8", preferred(entries)?.precision)
    }

    @Test
    fun `another format says what to do`() {
        val message = messageOf { parseIndex("""{"format_version": 2, "models": []}""") }
        assertTrue(message, "has format 2, this app reads 1" in message && "mobile-seg bundle" in message)
    }

    @Test
    fun `a damaged index says what to do`() {
        for (text in listOf("[]", "{", """{"format_version": 1}""", """{"format_version": 1, "models": [{}]}""")) {
            assertTrue("mobile-seg bundle" in messageOf { parseIndex(text) })
        }
    }
}
