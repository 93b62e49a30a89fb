plugins {
    alias(libs.plugins.kotlin.jvm)
    `java-library`
    `java-test-fixtures`
}

java {
    sourceCompatibility = JavaVersion.VERSION_11
    targetCompatibility = JavaVersion.VERSION_11
}

kotlin {
    compilerOptions {
        jvmTarget.set(org.jetbrains.kotlin.gradle.dsl.JvmTarget.JVM_11)
        allWarningsAsErrors.set(true)
    }
}

dependencies {
    compileOnly(libs.json) // Android has it built in
    testFixturesImplementation(libs.json)
    testFixturesImplementation(libs.tflite.desktop)
    testFixturesImplementation(libs.jna)
    testImplementation(libs.json)
    testImplementation(libs.junit)
}

// Files that `python -m golden.apps` and `mobile-seg bundle` write: -Pgolden=DIR -Passets=DIR.
tasks.test {
    listOf("golden", "assets", "results").forEach { name ->
        providers.gradleProperty(name).orNull?.let { systemProperty(name, it) }
    }
}
