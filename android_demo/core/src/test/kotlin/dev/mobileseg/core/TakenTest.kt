package dev.mobileseg.core

import org.junit.Assert.assertEquals
import org.junit.Assert.assertNull
import org.junit.Assert.assertTrue
import org.junit.Test

class TakenTest {
    private fun line(
        taken: Int,
        all: Int,
    ) = "Replacing $taken out of $all node(s) with delegate (TfLiteXNNPackDelegate) node, yielding 9 partitions for " +
        "the whole graph."

    @Test
    fun `the log says how many were taken, the plan in how many parts`() {
        assertEquals(Taken(195, 4, 5), takenFrom(199, planned = 9, log = listOf("Created delegate", line(195, 199))))
    }

    @Test
    fun `the last line about this graph counts`() {
        assertEquals(Taken(3, 1, 1), takenFrom(4, planned = 2, log = listOf(line(2, 4), line(3, 4), line(5, 7))))
    }

    @Test
    fun `one node in place of all is all of them`() {
        assertEquals(Taken(199, 0, 1), takenFrom(199, planned = 1, log = emptyList()))
    }

    @Test
    fun `nothing is guessed`() {
        assertNull(takenFrom(199, planned = 9, log = emptyList()))
        assertNull(takenFrom(1, planned = 1, log = emptyList()))
        assertNull(takenFrom(199, planned = 2, log = listOf(line(195, 199)))) // contradicts itself
    }

    @Test
    fun `what is no model has no operations to count`() {
        for (bytes in listOf(ByteArray(0), ByteArray(64), ByteArray(64) { 0x7f })) {
            assertTrue(
                "not a TFLite model" in messageOf { countOperations(direct(bytes.size).put(bytes).apply { flip() }) },
            )
        }
    }
}
